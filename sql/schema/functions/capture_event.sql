create or replace function postrider.capture_event(a postrider.attachment, op text, pairs text, is_late boolean default false) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format(E'insert into postrider.outbox (%s)\nselect %s\nfrom %s%s',
                  string_agg(v.name, ', ' order by v.place), string_agg(v.value, E',\n    ' order by v.place),
                  coalesce(pairs || E'\n' || postrider.captured_told(a, op, is_late), '(select lower(' || quote_literal(op) || ') as op) as event'),
                  case when pairs is not null then case when is_late then coalesce(nullif(postrider.captured_filter(a, op), ''), E'\nwhere true')
                                                                || postrider.captured_last(a)
                                                           else postrider.captured_filter(a, op) end
                           else '' end)
    from postrider.captured_values(a, op) as v
$$;
comment on function postrider.capture_event(postrider.attachment, text, text, boolean) is
    'SQL: inserts an event for each pair of "new" and "old" that an attached table hears. The operation is INSERT, UPDATE, DELETE, READ '
    '(a row that was there before; only "new"), or TRUNCATE (no pairs: null). is_late: the pairs have "present", too. Private.';
revoke all on function postrider.capture_event(postrider.attachment, text, text, boolean) from public;
grant execute on function postrider.capture_event(postrider.attachment, text, text, boolean) to postrider_dispatcher;
