-- What the catalogs say of attached tables. A place of the list is a kind of problem; the first one explains the others.
create or replace view postrider.attachment_problem as
select p.attachment_no, p.place, p.problem
from (
    select a.attachment_no, 1 as place, 'the table was dropped: it is forgotten soon' as problem
    from postrider.attachment as a
    where not exists (select from pg_catalog.pg_class as c where c.oid = a.relation)
    union all
    select a.attachment_no, 2, format('column %I %s', k.name, case when t.attnum is null then 'is gone'
               else format('has the type %s, and had %s', postrider.column_type(t.atttypid), k.type) end)
    from postrider.attachment as a
    join pg_catalog.pg_class as c on c.oid = a.relation
    cross join lateral jsonb_to_recordset(a.known_columns) as k (name text, type text)
    left join pg_catalog.pg_attribute as t on t.attrelid = a.relation and t.attname = k.name and t.attnum > 0 and not t.attisdropped
    where regexp_replace(postrider.column_type(t.atttypid), '[(][0-9, -]*[)]', '') is distinct from regexp_replace(k.type, '[(][0-9, -]*[)]', '')
      and (k.name = any (a.key_columns)
           or k.name in (a.status_column, a.key, a.payload) or 'column:' || k.name = a.payload
           or k.name = any (postrider.template_columns(a.topic) || postrider.template_columns(a.destination) || a.columns::text[])
           or a.columns is null and a.payload in ('row', 'change', 'supabase')
           or a.payload = 'debezium' and k.name in ('id', 'aggregatetype', 'aggregateid', 'type', 'payload')
           or a.when_sql ~* ('\m(new|old)\s*\.\s*"?' || regexp_replace(k.name, '(\W)', '\\\1', 'g') || '("|\M)'))
    union all
    select a.attachment_no, 3, format('the primary key is not (%s) any more', array_to_string(a.key_columns, ', '))
    from postrider.attachment as a
    join pg_catalog.pg_class as c on c.oid = a.relation
    where a.key_columns <> array(
        select t.attname
        from pg_catalog.pg_index as i
        cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
        join pg_catalog.pg_attribute as t on t.attrelid = i.indrelid and t.attnum = k.attnum
        where i.indrelid = a.relation and i.indisprimary
        order by k.place)
    union all
    select a.attachment_no, 4, format('trigger %s %s%s', w.name, case when p.oid is null then 'is missing' else 'does not fire' end,
               case when w.relation <> a.relation then format(' on the partition %s', w.relation) else '' end)
    from postrider.attachment as a
    join pg_catalog.pg_class as c on c.oid = a.relation
    cross join lateral postrider.wanted_triggers(a) as w
    left join pg_catalog.pg_trigger as g on g.tgrelid = w.relation and g.tgname = w.name and not g.tgisinternal
    left join pg_catalog.pg_proc as p on p.oid = g.tgfoid and p.proname = 'postrider_capture_' || a.attachment_no
    where p.oid is null or g.tgenabled not in ('O', 'A')
    union all
    select a.attachment_no, 5, format('%s has triggers of it, and is no part of it', g.tgrelid::regclass)
    from postrider.attachment as a
    join pg_catalog.pg_proc as p on p.proname = 'postrider_capture_' || a.attachment_no
    join pg_catalog.pg_trigger as g on g.tgfoid = p.oid and not g.tgisinternal
    where g.tgrelid <> a.relation
      and g.tgrelid not in (select t.relid from pg_catalog.pg_partition_tree(a.relation) as t where t.relid is not null)
    union all
    select a.attachment_no, 6, format('its function belongs to role %I, and the table to %I', pg_get_userbyid(f.owner), pg_get_userbyid(c.relowner))
    from postrider.attachment as a
    join pg_catalog.pg_class as c on c.oid = a.relation
    cross join lateral (
        select distinct p.proowner as owner
        from pg_catalog.pg_trigger as g
        join pg_catalog.pg_proc as p on p.oid = g.tgfoid and p.proname = 'postrider_capture_' || a.attachment_no
        where g.tgrelid = a.relation) as f
    where f.owner <> c.relowner
    union all
    select a.attachment_no, 7, format('role %I lacks %s%s on %s', pg_get_userbyid(c.relowner), w.privilege, ' (' || w.column_name || ')', w.object)
    from postrider.attachment as a
    join pg_catalog.pg_class as c on c.oid = a.relation
    cross join postrider.capture_right as w
    where not case split_part(w.object, ' ', 1)
        when 'schema' then has_schema_privilege(c.relowner, split_part(w.object, ' ', 2), w.privilege)
        when 'function' then has_function_privilege(c.relowner, split_part(w.object, ' ', 2), w.privilege)
        else has_column_privilege(c.relowner, split_part(w.object, ' ', 2), w.column_name::text, w.privilege) end
    union all
    select a.attachment_no, 8, format('function postrider_%s_%s is gone, or does not run with the rights of role %I', k.kind, a.attachment_no,
                                      pg_get_userbyid(c.relowner))
    from postrider.attachment as a
    join pg_catalog.pg_class as c on c.oid = a.relation
    join unnest('{backfill,write}'::text[]) as k (kind) on k.kind = 'backfill' or a.write_back <> 'none'
    where not exists (select from pg_catalog.pg_proc as p
                      where p.proname = format('postrider_%s_%s', k.kind, a.attachment_no) and p.proowner = c.relowner and p.prosecdef)
    union all
    select a.attachment_no, 9, format('everybody may call function %s', p.oid::regprocedure)
    from postrider.attachment as a
    join pg_catalog.pg_class as c on c.oid = a.relation
    cross join unnest('{capture,backfill,write}'::text[]) as k (kind)
    join pg_catalog.pg_proc as p on p.proname = format('postrider_%s_%s', k.kind, a.attachment_no) and p.proowner = c.relowner
    where exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as x where x.grantee = 0)
) as p;
comment on view postrider.attachment_problem is 'Why attached tables are broken: what has changed or is missing. Private.';
comment on column postrider.attachment_problem.attachment_no is 'The attachment.';
comment on column postrider.attachment_problem.place is 'The kind of problem. A lower one explains higher ones.';
comment on column postrider.attachment_problem.problem is 'In words.';
revoke all on postrider.attachment_problem from public;
grant select on postrider.attachment_problem to postrider_dispatcher;
