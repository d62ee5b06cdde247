-- A URL may have an @ in its path and its query, and a scheme in capitals: only before the host does an @ end credentials.
create or replace function postrider.is_endpoint_url(url text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return octet_length(url) <= 2048
   and url collate "C" ~ '^[Hh][Tt][Tt][Pp][Ss]?:///*[^\x01-\x20\x7f/?#@\\]*([/?][^\x01-\x20\x7f#\\]*)?$'
   and url collate "C" !~ '^[^/]*//$';
comment on function postrider.is_endpoint_url(text) is
    'Whether it is http:// or https:// and more, at most 2048 bytes, without credentials before the host, fragment, spaces, control characters or backslashes.';
revoke all on function postrider.is_endpoint_url(text) from public;
grant execute on function postrider.is_endpoint_url(text) to postrider_dispatcher;
