create or replace function postrider.capture_event(a postrider.attachment, op text, pairs text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format(E'insert into postrider.outbox (%s)\nselect %s\nfrom %s%s',
                  string_agg(v.name, ', ' order by v.place), string_agg(v.value, E',\n    ' order by v.place),
                  coalesce(pairs || E'\n' || postrider.captured_told(a, op), '(select lower(' || quote_literal(op) || ') as op) as event'),
                  case when pairs is not null then postrider.captured_filter(a, op) else '' end)
    from postrider.captured_values(a, op) as v
$$;
comment on function postrider.capture_event(postrider.attachment, text, text) is
    'SQL: inserts an event for each pair of "new" and "old" that an attached table hears. The operation is INSERT, UPDATE, DELETE, READ '
    '(a row that was there before; only "new"), or TRUNCATE (no pairs: null). Private.';
revoke all on function postrider.capture_event(postrider.attachment, text, text) from public;
grant execute on function postrider.capture_event(postrider.attachment, text, text) to postrider_dispatcher;
