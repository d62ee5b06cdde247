create or replace function postrider.is_signing_key(signing_key text) returns boolean
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
begin
    return postrider.is_sealed(signing_key)
        or signing_key ~ '^whsk_[A-Za-z0-9+/]+=*$' and octet_length(decode(substr(signing_key, 6), 'base64')) = 64;
exception when data_exception then
    return false;
end
$$;
comment on function postrider.is_signing_key(text) is
    'Whether the text is whsk_ and base64 of 64 bytes (an ed25519 seed and its public key), or sealed.';
revoke all on function postrider.is_signing_key(text) from public;
grant execute on function postrider.is_signing_key(text) to postrider_dispatcher;
