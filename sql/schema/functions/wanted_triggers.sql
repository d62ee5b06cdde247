-- A statement that names a partition fires that partition's triggers alone. An update may change the primary key, and then a row has
-- gone: so updates are looked at where deletes are heard.
create or replace function postrider.wanted_triggers(a postrider.attachment, out relation regclass, out name text, out ddl text)
returns setof record
language sql stable set search_path = pg_catalog, pg_temp as $$
    select r.relation, 'postrider_' || t.name, format('create or replace trigger postrider_%s %s on %s%s for each statement%s execute function %s()',
        t.name, t.event, r.relation, coalesce(' referencing ' || t.tables, ''),
        case when t.tables is not null then format(
            ' when (pg_catalog.current_setting(''postrider.write_back'', true) is distinct from %L or pg_catalog.pg_trigger_depth() operator(pg_catalog.>) 0)',
            a.attachment_no) else '' end,
        postrider.capture_name(a))
    from (values
        (1, 'insert', 'after insert', 'new table as new_rows', '{insert}'::text[]),
        (2, 'update', 'after update', 'old table as old_rows new table as new_rows', '{update,delete}'),
        (3, 'delete', 'after delete', 'old table as old_rows', '{delete}'),
        (4, 'truncate', 'after truncate', null, '{delete,truncate}'),
        (5, 'truncating', 'before truncate', null, '{truncate}')) as t (place, name, event, tables, ops)
    cross join lateral (
        select a.relation as relation, 0 as level
        union all
        select p.relid, p.level from pg_partition_tree(a.relation) as p where p.level > 0) as r
    where a.on_ops && t.ops and (r.level > 0 or t.name <> 'truncating')
    order by r.level, r.relation::oid, t.place
$$;
comment on function postrider.wanted_triggers(postrider.attachment) is
    'The triggers that an attached table and its partitions should have, and the commands that make them. Private.';
revoke all on function postrider.wanted_triggers(postrider.attachment) from public;
grant execute on function postrider.wanted_triggers(postrider.attachment) to postrider_reader, postrider_dispatcher;
