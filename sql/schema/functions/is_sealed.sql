create or replace function postrider.is_sealed(secret text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return octet_length(secret) <= 100000 and secret ~ '^sealed:(2:)?[0-9a-f]{8}:[A-Za-z0-9+/]{38,}=*$';
comment on function postrider.is_sealed(text) is
    'Whether the text is encrypted: sealed:2:KEY_ID:base64 of nonce, ciphertext and tag (AES-256-GCM). It is bound to this field of '
    'this endpoint, and a login also to its host. Only the key of that id opens it. A form without the 2: comes from an earlier version '
    'and is bound to the endpoint only.';
revoke all on function postrider.is_sealed(text) from public;
grant execute on function postrider.is_sealed(text) to postrider_dispatcher;
