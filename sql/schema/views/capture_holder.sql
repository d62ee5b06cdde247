create or replace view postrider.capture_holder as
select w.object, w.privilege, w.column_name, a.grantee
from postrider.capture_right as w
cross join (select n.oid, n.nspowner, n.nspacl from pg_catalog.pg_namespace as n where n.nspname = 'postrider') as n
cross join lateral (select split_part(w.object, ' ', 1) as kind, split_part(split_part(w.object, '.', 2), '(', 1) as name) as o
left join pg_catalog.pg_proc as p on o.kind = 'function' and p.pronamespace = n.oid and p.proname = o.name
left join pg_catalog.pg_class as c on o.kind = 'table' and c.relnamespace = n.oid and c.relname = o.name
left join pg_catalog.pg_attribute as t on t.attrelid = c.oid and t.attname = w.column_name
cross join lateral aclexplode(
    case o.kind when 'schema' then n.nspacl when 'function' then p.proacl else case when w.column_name is null then c.relacl else t.attacl end end) as a
join pg_catalog.pg_roles as r on r.oid = a.grantee and not r.rolsuper
where lower(a.privilege_type collate "C") = w.privilege and not a.is_grantable
  and a.grantee not in (n.nspowner, coalesce(p.proowner, 0), coalesce(c.relowner, 0))
  and r.rolname not in ('postrider_producer', 'postrider_reader', 'postrider_dispatcher');
comment on view postrider.capture_holder is
    'Rights of view capture_right that roles hold, other than owners of the schema, superusers and the three roles. Private.';
comment on column postrider.capture_holder.object is 'As in capture_right.';
comment on column postrider.capture_holder.privilege is 'The right, in small letters.';
comment on column postrider.capture_holder.column_name is 'The column that it is for; null: the whole object.';
comment on column postrider.capture_holder.grantee is 'The role that holds it.';
revoke all on postrider.capture_holder from public;
grant select on postrider.capture_holder to postrider_dispatcher;
