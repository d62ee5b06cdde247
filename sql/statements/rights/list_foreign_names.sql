-- does:   lists objects outside of the schema and of PostgreSQL's own schema that the schema depends on: operators, functions,
--         types and the like. Another role may own or replace them. Functions, views, constraints, defaults, indexes, policies
--         and triggers of the schema count.
-- params: none
-- rows:   object text; depends_on text; owner text: the owner of depends_on, if known; is_added boolean: a trigger or a policy
--         needs it, or it is an operator class (Postrider makes none of these, so somebody added it); rows with is_added last,
--         functions and operators before types
-- locks:  none
-- repeat: the same
with part (classid, objid, is_added) as (
    select 'pg_catalog.pg_proc'::regclass, p.oid, false
    from pg_catalog.pg_proc as p where p.pronamespace = to_regnamespace('postrider')
    union all
    select 'pg_catalog.pg_class'::regclass, c.oid, false
    from pg_catalog.pg_class as c where c.relnamespace = to_regnamespace('postrider')
    union all
    select 'pg_catalog.pg_type'::regclass, t.oid, false
    from pg_catalog.pg_type as t where t.typnamespace = to_regnamespace('postrider')
    union all
    select 'pg_catalog.pg_operator'::regclass, o.oid, false
    from pg_catalog.pg_operator as o where o.oprnamespace = to_regnamespace('postrider')
    union all
    select 'pg_catalog.pg_constraint'::regclass, k.oid, false
    from pg_catalog.pg_constraint as k where k.connamespace = to_regnamespace('postrider')
    union all
    select 'pg_catalog.pg_attrdef'::regclass, f.oid, false
    from pg_catalog.pg_attrdef as f
    join pg_catalog.pg_class as c on c.oid = f.adrelid and c.relnamespace = to_regnamespace('postrider')
    union all
    select 'pg_catalog.pg_rewrite'::regclass, w.oid, false
    from pg_catalog.pg_rewrite as w
    join pg_catalog.pg_class as c on c.oid = w.ev_class and c.relnamespace = to_regnamespace('postrider')
    union all
    select 'pg_catalog.pg_policy'::regclass, y.oid, true
    from pg_catalog.pg_policy as y
    join pg_catalog.pg_class as c on c.oid = y.polrelid and c.relnamespace = to_regnamespace('postrider')
    union all
    -- A trigger of ours calls a function of ours.
    select 'pg_catalog.pg_trigger'::regclass, g.oid, p.pronamespace <> c.relnamespace
    from pg_catalog.pg_trigger as g
    join pg_catalog.pg_class as c on c.oid = g.tgrelid and c.relnamespace = to_regnamespace('postrider')
    join pg_catalog.pg_proc as p on p.oid = g.tgfoid
    where not g.tgisinternal
)
select distinct
       case when w.rulename = '_RETURN' then 'view ' || w.ev_class::regclass::text
            else pg_describe_object(d.classid, d.objid, d.objsubid) end as object,
       pg_describe_object(d.refclassid, d.refobjid, 0) as depends_on,
       pg_get_userbyid(s.refobjid)::text as owner,
       part.is_added or d.refclassid in ('pg_catalog.pg_opclass'::regclass, 'pg_catalog.pg_opfamily'::regclass) as is_added
from part
join pg_catalog.pg_depend as d on d.classid = part.classid and d.objid = part.objid
left join pg_catalog.pg_rewrite as w on w.oid = d.objid and d.classid = 'pg_catalog.pg_rewrite'::regclass
left join pg_catalog.pg_shdepend as s
    on s.classid = d.refclassid and s.objid = d.refobjid and s.objsubid = 0 and s.deptype = 'o'
   and s.dbid = (select b.oid from pg_catalog.pg_database as b where b.datname = current_database())
cross join lateral pg_identify_object(d.refclassid, d.refobjid, 0) as i
where i.type not in ('schema', 'extension', 'language', 'role', 'tablespace', 'access method', 'trigger', 'rule', 'policy',
                     'table constraint', 'domain constraint', 'default value', 'toast table')
  and coalesce(i.schema, '') not in ('pg_catalog', 'postrider', 'pg_toast')
order by is_added, depends_on, object
