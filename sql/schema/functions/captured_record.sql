create or replace function postrider.captured_record(a postrider.attachment, side text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('(select to_json(o.*) from (select %s) as o)',
                  string_agg(format('%1$s.%2$s as %2$s', side, c.ident), ', ' order by c.place))
    from postrider.captured_columns(a) as c
    where c.is_told
$$;
comment on function postrider.captured_record(postrider.attachment, text) is
    'SQL: a JSON object of those columns of side that payloads show. Private.';
revoke all on function postrider.captured_record(postrider.attachment, text) from public;
grant execute on function postrider.captured_record(postrider.attachment, text) to postrider_dispatcher;
