-- PostgreSQL inlines this function into the calling statement, because it is one expression without `set search_path`. A payload that
-- arrives compressed may be much larger than its stored form. A large payload has payload_bytes.
create or replace function postrider.is_payload_small(payload json, payload_bytes integer) returns boolean
language sql stable parallel safe
return payload_bytes is null and pg_column_size(payload) < 2000 and pg_column_compression(payload) is null;
comment on function postrider.is_payload_small(json, integer) is
    'Whether a payload of the outbox has less than 2000 bytes. Does not read the payload. Private.';
revoke all on function postrider.is_payload_small(json, integer) from public;
grant execute on function postrider.is_payload_small(json, integer) to postrider_dispatcher;
