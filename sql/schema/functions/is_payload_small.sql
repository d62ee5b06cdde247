-- PostgreSQL puts this expression into the statement that calls it: no `set search_path`, one expression. A payload that arrives compressed
-- may be much larger than its stored form; a large one has payload_bytes.
create or replace function postrider.is_payload_small(payload json, payload_bytes integer) returns boolean
language sql stable parallel safe
return payload_bytes is null and pg_column_size(payload) < 2000 and pg_column_compression(payload) is null;
comment on function postrider.is_payload_small(json, integer) is
    'Whether a payload of the outbox has less than 2000 bytes, without looking into it. Private.';
revoke all on function postrider.is_payload_small(json, integer) from public;
grant execute on function postrider.is_payload_small(json, integer) to postrider_dispatcher;
