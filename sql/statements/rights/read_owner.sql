-- does:   reads the schema's owner, if it is neither the current role nor a role that the current role is a member of
-- params: none
-- rows:   owner text; no row if the schema is ours, or there is no schema
-- locks:  none
-- repeat: the same
with recursive mine (id) as (
    select r.oid from pg_catalog.pg_roles as r where r.rolname = current_user
    union
    select m.roleid from pg_catalog.pg_auth_members as m join mine on mine.id = m.member
)
select pg_get_userbyid(n.nspowner)::text as owner
from pg_catalog.pg_namespace as n
join pg_catalog.pg_roles as r on r.oid = n.nspowner
where n.nspname = 'postrider'
  and n.nspowner not in (select mine.id from mine)
  -- A superuser need not be a member of a role to do anything. So a superuser trusts an owner that is one too.
  and not (r.rolsuper and (select m.rolsuper from pg_catalog.pg_roles as m where m.rolname = current_user))
  and not (n.nspowner = 'pg_database_owner'::regrole and exists (
      select from pg_catalog.pg_database as d
      where d.datname = current_database() and d.datdba in (select mine.id from mine)))
