create or replace function postrider.captured_place(a postrider.attachment) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select 'place' || repeat('_', max(length(c.name))) from postrider.captured_columns(a) as c
$$;
comment on function postrider.captured_place(postrider.attachment) is 'A name that no column of an attached table has. Private.';
revoke all on function postrider.captured_place(postrider.attachment) from public;
grant execute on function postrider.captured_place(postrider.attachment) to postrider_dispatcher;
