-- While a payload is inserted, it is in memory and its size costs nothing. The trigger must never fail an INSERT.
-- Every name is qualified, for the reason that ring.sql gives.
create or replace function postrider.size_payload() returns trigger
language plpgsql as $$
begin
    new.payload_bytes := pg_catalog.octet_length(new.payload::pg_catalog.text);
    return new;
exception when others then
    return new;
end
$$;
comment on function postrider.size_payload() is 'Stores the size of a payload that is not small, or that arrives compressed.';
revoke all on function postrider.size_payload() from public;
