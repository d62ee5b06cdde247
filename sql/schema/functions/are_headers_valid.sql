-- Header rules of HTTP (RFC 9110 section 5), and the names that Postrider, HTTP itself or CloudEvents owns. Names are ASCII and are
-- made lower case as ASCII. By default lower() follows the language of the database, and Turkish turns I into a dotless i.
create or replace function postrider.are_headers_valid(headers jsonb) returns boolean
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp
return jsonb_typeof(headers) = 'object'
   and octet_length(headers::text) <= 8192
   and not exists (
        select from jsonb_each(case jsonb_typeof(headers) when 'object' then headers else '{}' end) as h (name, value)
        where jsonb_typeof(h.value) <> 'string'
           or h.name collate "C" !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]{1,128}$'
           or (h.value #>> '{}') collate "C" !~ '^[\x20-\x7e]*$'
           or lower(h.name collate "C") in ('host', 'connection', 'content-length', 'content-type', 'content-encoding', 'expect',
                'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'user-agent')
           or lower(h.name collate "C") ~ '^(webhook-|postrider-|proxy-|ce-)');
comment on function postrider.are_headers_valid(jsonb) is
    'Whether every name is an HTTP token and not reserved (host, connection, content-*, webhook-*, postrider-*, proxy-*, ce-* ...), and '
    'every value is visible ASCII and spaces.';
revoke all on function postrider.are_headers_valid(jsonb) from public;
grant execute on function postrider.are_headers_valid(jsonb) to postrider_producer, postrider_dispatcher;
