-- does:   lists rights in the schema that roles other than its owners, superusers and the three roles have, and that owners of attached
--         tables do not need. Also lists rights that default privileges for this schema would grant. Each migration itself takes
--         back those of default privileges for all schemas.
-- params: none
-- rows:   held text, as 'select on table postrider.endpoint, to r'; take_back text: the command that ends it; at most 100
-- locks:  none
-- repeat: the same
with object (words, owner, acl, column_name) as (
    select 'schema postrider', n.nspowner, n.nspacl, null::name
    from pg_catalog.pg_namespace as n where n.nspname = 'postrider'
    union all
    select case c.relkind when 'S' then 'sequence ' else 'table ' end || c.oid::regclass, c.relowner, c.relacl, null
    from pg_catalog.pg_class as c
    where c.relnamespace = to_regnamespace('postrider') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select 'table ' || c.oid::regclass, c.relowner, t.attacl, t.attname
    from pg_catalog.pg_class as c
    join pg_catalog.pg_attribute as t on t.attrelid = c.oid and not t.attisdropped
    where c.relnamespace = to_regnamespace('postrider') and c.relkind in ('r', 'p', 'v', 'm', 'f')
    union all
    -- Without an entry of its own, everybody may call a function.
    select 'routine ' || p.oid::regprocedure, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner)), null
    from pg_catalog.pg_proc as p where p.pronamespace = to_regnamespace('postrider')
    union all
    select 'type ' || t.oid::regtype, t.typowner, t.typacl, null
    from pg_catalog.pg_type as t
    where t.typnamespace = to_regnamespace('postrider') and t.typrelid = 0 and t.typcategory <> 'A'
), held as (
    select o.words,
           a.grantee,
           string_agg(distinct lower(a.privilege_type) || coalesce(' (' || quote_ident(o.column_name) || ')', ''), ', ') as privileges,
           bool_or(a.is_grantable) as is_grantable,
           '' as before
    from object as o
    cross join lateral aclexplode(o.acl) as a
    where a.grantee <> o.owner
      and a.grantee <> (select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'postrider')
      -- By default everybody may use a type.
      and not (a.grantee = 0 and o.words like 'type %')
      -- The owner of an attached table was granted what its triggers need.
      and (a.grantee not in (select c.role_id from postrider.capture_owner as c) or a.is_grantable
           or not exists (select from postrider.capture_right as w
                          where w.object = replace(o.words, 'routine ', 'function ') and w.privilege = lower(a.privilege_type)
                            and w.column_name is not distinct from o.column_name))
    group by o.words, a.grantee
    union all
    select case f.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' else 'types' end,
           a.grantee,
           string_agg(distinct lower(a.privilege_type), ', '),
           false,
           format('alter default privileges for role %I in schema postrider ', pg_get_userbyid(f.defaclrole))
    from pg_catalog.pg_default_acl as f
    cross join lateral aclexplode(f.defaclacl) as a
    where f.defaclnamespace = to_regnamespace('postrider') and a.grantee <> f.defaclrole
    group by f.defaclobjtype, f.defaclrole, a.grantee
)
select format('%s on %s, to %s', h.privileges, case h.before when '' then h.words else 'new ' || h.words end,
              case h.grantee when 0 then 'public' else r.rolname end) as held,
       format('%srevoke %s on %s from %s%s', h.before, h.privileges, h.words,
              case h.grantee when 0 then 'public' else quote_ident(r.rolname) end,
              case when h.is_grantable then ' cascade' else '' end) as take_back
from held as h
left join pg_catalog.pg_roles as r on r.oid = h.grantee
where not coalesce(r.rolsuper, false)
  and (h.before <> '' or coalesce(r.rolname, '') not in ('postrider_producer', 'postrider_reader', 'postrider_dispatcher'))
order by 1
limit 100
