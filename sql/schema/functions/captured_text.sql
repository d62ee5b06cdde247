create or replace function postrider.captured_text(a postrider.attachment, name text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when c.type = 'inet'::regtype then format('host(told.%s)', c.ident) else format('told.%s::text', c.ident) end
    from postrider.captured_columns(a) as c
    where c.name = captured_text.name
$$;
comment on function postrider.captured_text(postrider.attachment, text) is
    'SQL: a column of the row that an event tells of, as text; an address without its mask. Private.';
revoke all on function postrider.captured_text(postrider.attachment, text) from public;
grant execute on function postrider.captured_text(postrider.attachment, text) to postrider_dispatcher;
