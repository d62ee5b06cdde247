-- does:   lists grants of the schema that are missing: what one of the three roles should have and lacks, and functions that
--         everybody may call because nobody has taken that back. A restore without privileges leaves both.
-- params: $1 wanted text: JSON, an array of objects: kind (function, table, sequence or schema), object (its name, with the types of a
--         function's arguments), privilege, role; and column_name, if it is for one column
-- rows:   missing text, as "select on table postrider.backlog to postrider_reader"; by name. Objects that do not exist are left
--         out
-- locks:  none
-- repeat: the same
with wanted as (
    -- No two functions of the schema have one name. A role that may not look into the schema cannot resolve one.
    select g.kind, g.object, g.privilege, g.role, g.column_name, split_part(split_part(g.object, '(', 1), '.', 2) as name
    from json_to_recordset($1::text::json) as g (kind text, object text, privilege text, role text, column_name text)
), lacking as (
    select w.*
    from wanted as w
    cross join (select s.oid, s.nspacl from pg_catalog.pg_namespace as s where s.nspname = 'postrider') as n
    left join pg_catalog.pg_proc as p on w.kind = 'function' and p.pronamespace = n.oid and p.proname = w.name
    left join pg_catalog.pg_class as c on w.kind in ('table', 'sequence') and c.relnamespace = n.oid and c.relname = w.name
    left join pg_catalog.pg_attribute as t on t.attrelid = c.oid and t.attname = w.column_name
    where (w.kind = 'schema' or p.oid is not null or c.oid is not null)
      and not exists (
          select
          from (values (p.proacl), (case w.kind when 'schema' then n.nspacl end), (c.relacl), (t.attacl)) as o (acl)
          cross join lateral aclexplode(o.acl) as a
          where a.grantee = to_regrole(w.role) and lower(a.privilege_type collate "C") = w.privilege)
)
select m.missing
from (
    select format('%s%s on %s %s to %s', l.privilege, ' (' || quote_ident(l.column_name) || ')', l.kind, l.object, l.role) as missing
    from lacking as l
    union all
    select format('revoke of execute on function %s from public', p.oid::regprocedure)
    from pg_catalog.pg_proc as p
    where p.pronamespace = to_regnamespace('postrider') and p.proacl is null
) as m
order by m.missing
