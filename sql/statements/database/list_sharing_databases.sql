-- does:   lists the databases of this server in which the three roles were granted something. Those databases have the schema
--         too, or had it.
-- params: none
-- rows:   database text; is_this boolean; is_open boolean: every role may connect to it; by name. The current database is
--         listed only if something was granted in it.
-- locks:  none
-- repeat: the same
select d.datname::text as database,
       d.datname = current_database() as is_this,
       -- Null for a database that is dropped meanwhile.
       coalesce(has_database_privilege('public', d.oid, 'connect'), false) as is_open
from pg_catalog.pg_database as d
where d.datallowconn
  -- PostgreSQL records the grants of roles for all databases in one catalogue. array(…) reads it once: a plain subquery may
  -- be planned to read it again for each database, which takes minutes with a thousand of them.
  and d.oid = any (array(select distinct s.dbid from pg_catalog.pg_shdepend as s
                         where s.refclassid = 'pg_catalog.pg_authid'::regclass
                           and s.refobjid in (select r.oid from pg_catalog.pg_roles as r
                               where r.rolname in ('postrider_producer', 'postrider_reader', 'postrider_dispatcher'))))
order by 1
