create or replace function postrider.capture_now(attachment_no integer, op text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select postrider.capture_event(a, op, postrider.capture_pairs(a, op, is_careful => true))
    from postrider.attachment as a
    where a.attachment_no = capture_now.attachment_no
$$;
comment on function postrider.capture_now(integer, text) is
    'SQL: inserts the events of a statement, for the columns that an attached table has now. Its generated trigger runs this where the '
    'statement that stands in it does not fit. Private.';
revoke all on function postrider.capture_now(integer, text) from public;
grant execute on function postrider.capture_now(integer, text) to postrider_dispatcher;
