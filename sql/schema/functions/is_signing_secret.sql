create or replace function postrider.is_signing_secret(secret text) returns boolean
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
    return postrider.is_sealed(secret)
        or secret ~ '^whsec_[A-Za-z0-9+/]+=*$' and octet_length(decode(substr(secret, 7), 'base64')) between 24 and 64;
exception when data_exception then
    return false;
end
$$;
comment on function postrider.is_signing_secret(text) is
    'Whether the text is whsec_ and base64 of 24 to 64 bytes (Standard Webhooks 1.0.0), or sealed.';
revoke all on function postrider.is_signing_secret(text) from public;
grant execute on function postrider.is_signing_secret(text) to postrider_dispatcher;
