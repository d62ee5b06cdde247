create or replace function postrider.is_pem(pem text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return octet_length(pem) <= 65536 and pem ~ '-----BEGIN [A-Z ]+-----' and pem !~ '[^\x09\x0a\x0d\x20-\x7e]';
comment on function postrider.is_pem(text) is 'Whether the text may be PEM: at most 64 KiB of ASCII with a BEGIN line.';
revoke all on function postrider.is_pem(text) from public;
grant execute on function postrider.is_pem(text) to postrider_dispatcher;
