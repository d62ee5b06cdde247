-- does:   lists rights in the schema that postrider_dispatcher was granted and the current role lacks
-- params: none
-- rows:   lacking text, as "update on table delivery"; by name
-- locks:  none
-- repeat: the same
select g.privilege || ' on ' || g.object as lacking
from (
    select lower(a.privilege_type collate "C") as privilege,
           case when c.relkind = 'S' then 'sequence ' else 'table ' end || c.relname as object,
           case when c.relkind = 'S' then has_sequence_privilege(c.oid, a.privilege_type)
                else has_table_privilege(c.oid, a.privilege_type) end as is_held
    from pg_catalog.pg_namespace as n
    join pg_catalog.pg_class as c on c.relnamespace = n.oid
    cross join lateral pg_catalog.aclexplode(c.relacl) as a
    where n.nspname = 'postrider' and a.grantee = to_regrole('postrider_dispatcher')
    union all
    select lower(a.privilege_type collate "C"), 'function ' || p.proname, has_function_privilege(p.oid, a.privilege_type)
    from pg_catalog.pg_namespace as n
    join pg_catalog.pg_proc as p on p.pronamespace = n.oid
    cross join lateral pg_catalog.aclexplode(p.proacl) as a
    where n.nspname = 'postrider' and a.grantee = to_regrole('postrider_dispatcher')
    union all
    select lower(a.privilege_type collate "C"), 'schema ' || n.nspname, has_schema_privilege(n.oid, a.privilege_type)
    from pg_catalog.pg_namespace as n
    cross join lateral pg_catalog.aclexplode(n.nspacl) as a
    where n.nspname = 'postrider' and a.grantee = to_regrole('postrider_dispatcher')
) as g
where not g.is_held
order by 1
