-- With the rights of the caller: the condition is the caller's own text. Names in it mean what they will mean to the trigger.
create or replace function postrider.count_rows_to_send(
    relation regclass, when_sql text, rows_max bigint, out rows_found bigint, out rows_read bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    table_name constant text := relation::text; -- With its schema, because the path is still ours.
    in_schema text := (select quote_ident(n.nspname) from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
                       where c.oid = relation);
begin
    perform set_config('search_path', 'pg_catalog, ' || in_schema || ', pg_temp', true);
    -- The comment that a condition may end with ends with its line.
    execute format(E'select count(*) filter (where %s\n), count(*)
        from (select r.* from %s as r limit %s) as new cross join (select (null::%2$s).*) as old',
        coalesce(nullif(when_sql, ''), 'true'), table_name, rows_max)
    into rows_found, rows_read;
end
$$;
comment on function postrider.count_rows_to_send(regclass, text, bigint) is
    'Counts the rows of a table that meet a condition on new (the row) and old (all null). Private.';
revoke all on function postrider.count_rows_to_send(regclass, text, bigint) from public;
grant execute on function postrider.count_rows_to_send(regclass, text, bigint) to postrider_dispatcher;
