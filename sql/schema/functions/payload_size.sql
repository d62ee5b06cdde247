-- PostgreSQL inlines this function, like is_payload_small. It reads only a large payload without payload_bytes.
create or replace function postrider.payload_size(payload json, payload_bytes integer) returns integer
language sql stable parallel safe
return case
    when payload_bytes is not null then payload_bytes
    when postrider.is_payload_small(payload, payload_bytes) then pg_column_size(payload)
    else octet_length(payload::text) end;
comment on function postrider.payload_size(json, integer) is
    'Returns how many bytes a payload of the outbox has, by its column payload_bytes or else by its stored form. Private.';
revoke all on function postrider.payload_size(json, integer) from public;
grant execute on function postrider.payload_size(json, integer) to postrider_dispatcher;
