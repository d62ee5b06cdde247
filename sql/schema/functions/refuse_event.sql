create or replace function postrider.refuse_event(attachment_no integer, kind text, value text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    raise exception using
        errcode = 'invalid_parameter_value',
        message = format('table %s is attached to Postrider, and %s',
            (select a.relation from postrider.attachment as a where a.attachment_no = refuse_event.attachment_no),
            case kind
                when 'topic' then format('%L is no topic: a topic is dotted words of [A-Za-z0-9_-], at most 128 bytes', left(value, 150))
                when 'row_key' then format('the primary key %L... is too long: it is at most 1000 bytes as JSON', left(value, 100))
                when 'headers' then format('%L is no value of a header: that is visible ASCII, at most 8000 bytes', left(value, 150))
                when 'truncate' then
                    'would not hear which rows go: delete them, attach the table with truncate in on_ops, or pause it before'
            end);
end
$$;
comment on function postrider.refuse_event(integer, text, text) is
    'Raises 22023: an event of an attached table cannot be written, in one line that says why. Private.';
revoke all on function postrider.refuse_event(integer, text, text) from public;
grant execute on function postrider.refuse_event(integer, text, text) to postrider_dispatcher;
