-- does:   lists the databases of this server in which the three roles were granted something: they have the schema too, or had it
-- params: none
-- rows:   database text; is_this boolean; is_open boolean: every role may connect to it; this one is among them if anything was
--         granted here; by name
-- locks:  none
-- repeat: the same
select d.datname::text as database,
       d.datname = current_database() as is_this,
       has_database_privilege('public', d.oid, 'connect') as is_open
from pg_catalog.pg_database as d
where d.datallowconn
  -- What roles are granted is written down for all databases together.
  and d.oid in (select s.dbid from pg_catalog.pg_shdepend as s
                where s.refclassid = 'pg_catalog.pg_authid'::regclass
                  and s.refobjid in (select r.oid from pg_catalog.pg_roles as r
                      where r.rolname in ('postrider_producer', 'postrider_reader', 'postrider_dispatcher')))
order by 1
