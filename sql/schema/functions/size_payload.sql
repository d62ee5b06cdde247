-- The payload is in memory while it is inserted: only then its size costs nothing. It must never fail an INSERT.
-- Every name is qualified instead of pinning search_path, as in postrider.ring.
create or replace function postrider.size_payload() returns trigger
language plpgsql as $$
begin
    new.payload_bytes := pg_catalog.octet_length(new.payload::pg_catalog.text);
    return new;
exception when others then
    return new;
end
$$;
comment on function postrider.size_payload() is 'Stores the size of a payload that is not small, or arrives compressed.';
revoke all on function postrider.size_payload() from public;
