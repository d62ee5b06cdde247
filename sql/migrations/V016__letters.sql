-- why: lower() goes by the language of the database. In a Turkish one it leaves the dot on no I, and TRANSFER-ENCODING passed for a
--      header that nobody reserves. Names are ASCII, and folded as ASCII is. A URL may have an @ in its path and its query, and a
--      scheme in capitals: only before the host does an @ end credentials. Rows that are there passed the older, stricter check (not
--      valid: nobody waits for a look).
-- old code: survives.

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

create function postrider.is_endpoint_url(url text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return octet_length(url) <= 2048
   and url collate "C" ~ '^[Hh][Tt][Tt][Pp][Ss]?:///*[^\x01-\x20\x7f/?#@\\]*([/?][^\x01-\x20\x7f#\\]*)?$'
   and url collate "C" !~ '^[^/]*//$';
comment on function postrider.is_endpoint_url(text) is
    'Whether it is http:// or https:// and more, at most 2048 bytes, without credentials before the host, fragment, spaces, control characters or backslashes.';

alter table postrider.endpoint
    drop constraint endpoint_url_check,
    add constraint endpoint_url_check check (postrider.is_endpoint_url(url)) not valid;

revoke all on function postrider.is_endpoint_url(text) from public;
grant execute on function postrider.is_endpoint_url(text) to postrider_dispatcher;
