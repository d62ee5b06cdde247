-- No type is named: the name of a type may change, and then the trigger must not fail.
create or replace function postrider.captured_nulls(a postrider.attachment, side text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select string_agg(format('case when false then %1$s.%2$s end as %2$s', side, c.ident), ', ' order by c.place)
    from postrider.captured_columns(a) as c
$$;
comment on function postrider.captured_nulls(postrider.attachment, text) is
    'SQL: the list of a select that has nulls with the names and types of the columns of side. Private.';
revoke all on function postrider.captured_nulls(postrider.attachment, text) from public;
grant execute on function postrider.captured_nulls(postrider.attachment, text) to postrider_dispatcher;
