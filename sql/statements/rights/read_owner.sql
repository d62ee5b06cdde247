-- does:   reads who owns the schema, if that is somebody else: neither the current role nor one that it is a member of
-- params: none
-- rows:   owner text; none: it is ours, or there is none
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
  -- Superusers are members of nothing, and may do anything; only they may trust each other.
  and not (r.rolsuper and (select m.rolsuper from pg_catalog.pg_roles as m where m.rolname = current_user))
  and not (n.nspowner = 'pg_database_owner'::regrole and exists (
      select from pg_catalog.pg_database as d
      where d.datname = current_database() and d.datdba in (select mine.id from mine)))
