create or replace function postrider.capture_triggers(a postrider.attachment) returns setof text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select w.ddl from postrider.wanted_triggers(a) as w
$$;
comment on function postrider.capture_triggers(postrider.attachment) is
    'SQL: the commands that make the triggers of an attached table, one a row. The same again changes nothing. Private.';
revoke all on function postrider.capture_triggers(postrider.attachment) from public;
grant execute on function postrider.capture_triggers(postrider.attachment) to postrider_dispatcher;
