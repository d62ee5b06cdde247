-- A URL may have a scheme in capitals, and an @ in its path and its query. Only before the host does an @ end credentials.
create or replace function postrider.is_endpoint_url(url text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return octet_length(url) <= 2048
   and url collate "C" ~ '^[Hh][Tt][Tt][Pp][Ss]?:///*[^\x01-\x20\x7f/?#@\\]*([/?][^\x01-\x20\x7f#\\]*)?$'
   and url collate "C" !~ '^[^/]*//$';
comment on function postrider.is_endpoint_url(text) is
    'Whether the text is an http:// or https:// URL of at most 2048 bytes. Credentials before the host, a fragment, spaces, control '
    'characters and backslashes are refused.';
revoke all on function postrider.is_endpoint_url(text) from public;
grant execute on function postrider.is_endpoint_url(text) to postrider_dispatcher;
