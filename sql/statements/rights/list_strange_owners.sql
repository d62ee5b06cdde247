-- does:   lists objects of the schema that belong to neither the schema's owner nor a superuser
-- params: none
-- rows:   object text; owner text; by object
-- locks:  none
-- repeat: the same
select pg_describe_object(d.classid, d.objid, 0) as object, r.rolname::text as owner
from pg_catalog.pg_namespace as n
join pg_catalog.pg_depend as d on d.refclassid = 'pg_catalog.pg_namespace'::regclass and d.refobjid = n.oid
join pg_catalog.pg_shdepend as s on s.classid = d.classid and s.objid = d.objid and s.objsubid = 0 and s.deptype = 'o'
join pg_catalog.pg_roles as r on r.oid = s.refobjid
where n.nspname = 'postrider'
  and s.dbid = (select b.oid from pg_catalog.pg_database as b where b.datname = current_database())
  and r.oid <> n.nspowner and not r.rolsuper
order by 1
