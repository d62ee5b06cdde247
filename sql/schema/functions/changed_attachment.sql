create or replace function postrider.changed_attachment(old postrider.attachment, new postrider.attachment) returns text[]
language sql stable set search_path = pg_catalog, pg_temp
return (
    select coalesce(array_agg(format('%s: %s -> %s', c.name, left(coalesce(c.was #>> '{}', 'none'), 200), left(coalesce(c.is #>> '{}', 'none'), 200))
                              order by c.name), '{}')
    from (
        select s.name, to_jsonb(old) -> s.of_row as was, to_jsonb(new) -> s.of_row as is
        from (values ('topic', 'topic'), ('payload', 'payload'), ('key', 'key'), ('destination', 'destination'),
                     ('status', 'status_column'), ('status_map', 'status_map'), ('write_back', 'write_back'), ('on_ops', 'on_ops'),
                     ('when_sql', 'when_sql'), ('columns', 'columns'), ('on_error', 'on_error'), ('primary key', 'key_columns'))
            as s (name, of_row)
        union all
        select 'columns of the table',
               (select jsonb_agg(k.value ->> 'name') from jsonb_array_elements((old).known_columns) as k (value)
                where not (new).known_columns @> jsonb_build_array(k.value)),
               (select jsonb_agg(k.value ->> 'name') from jsonb_array_elements((new).known_columns) as k (value)
                where not (old).known_columns @> jsonb_build_array(k.value))) as c
    where c.was is distinct from c.is and (old).attachment_no is not null);
comment on function postrider.changed_attachment(postrider.attachment, postrider.attachment) is
    'Returns a line for each setting of an attached table that another attaching changes, as topic: a -> b. Private.';
revoke all on function postrider.changed_attachment(postrider.attachment, postrider.attachment) from public;
grant execute on function postrider.changed_attachment(postrider.attachment, postrider.attachment) to postrider_dispatcher;
