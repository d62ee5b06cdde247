create or replace function postrider.random_secret() returns text
language sql volatile set search_path = pg_catalog, pg_temp
return 'whsec_' || encode(sha256((gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text)::bytea), 'base64');
comment on function postrider.random_secret() is 'Returns a new signing secret: 366 random bits, hashed to 32 bytes. Private.';
revoke all on function postrider.random_secret() from public;
