-- Logical replication copies no sequences.
create or replace function postrider.lagging_sequences()
returns table (relation text, sequence text, next_id bigint, highest_id bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    owned record;
begin
    for owned in
        select c.relname::text as relation_name, a.attname::text as column_name, s.relname::text as sequence_name
        from pg_depend as d
        join pg_class as s on s.oid = d.objid and s.relkind = 'S'
        join pg_class as c on c.oid = d.refobjid
        join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('i', 'a')
          and c.relnamespace = 'postrider'::regnamespace
        order by c.relname
    loop
        return query execute format(
            'select %L::text, %L::text, s.next_id, h.highest_id
             from (select case when q.is_called then q.last_value + 1 else q.last_value end as next_id from postrider.%I as q) as s
             cross join (select max(t.%I)::bigint as highest_id from postrider.%I as t) as h
             where h.highest_id >= s.next_id',
            owned.relation_name, 'postrider.' || owned.sequence_name, owned.sequence_name, owned.column_name, owned.relation_name);
    end loop;
end
$$;
comment on function postrider.lagging_sequences() is
    'Lists sequences that would give out ids which are taken, with the next id and the highest one in the table. Private.';
revoke all on function postrider.lagging_sequences() from public;
grant execute on function postrider.lagging_sequences() to postrider_dispatcher;
