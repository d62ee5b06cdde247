create or replace function postrider.captured_row(a postrider.attachment, source text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select string_agg(
        case when c.is_there then format('%1$s.%2$s as %2$s', source, c.ident)
             else format('null::%s as %s', format_type(c.type, null), c.ident) end,
        ', ' order by c.place)
    from postrider.captured_columns(a) as c
$$;
comment on function postrider.captured_row(postrider.attachment, text) is
    'SQL: the list of a select that reads the columns of an attached table from source, as r.id as id. A column that is gone is null. '
    'Private.';
revoke all on function postrider.captured_row(postrider.attachment, text) from public;
grant execute on function postrider.captured_row(postrider.attachment, text) to postrider_dispatcher;
