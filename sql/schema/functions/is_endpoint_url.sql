-- A URL may have a scheme in capitals, and an @ in its path and its query. Only before the host does an @ end credentials.
-- A host that is written in ASCII is an address in brackets, or has labels of 1 to 63 letters, digits, - and _, 253 in all.
create or replace function postrider.is_endpoint_url(url text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return octet_length(url) <= 2048
   and url collate "C" ~ '^[Hh][Tt][Tt][Pp][Ss]?:///*[^\x01-\x20\x7f/?#@\\]*([/?][^\x01-\x20\x7f#\\]*)?$'
   and url collate "C" !~ '^[^/]*//$'
   and (url collate "C" ~ '^[^:]*:/*[^/?]*([[%]|[^\x01-\x7f])'
        or url collate "C" ~ '^[^:]*:/*([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?(:[0-9]*)?([/?]|$)'
           and octet_length(rtrim(substring(url from '^[^:]*:/*([^/?:]*)'), '.')) <= 253);
comment on function postrider.is_endpoint_url(text) is
    'Whether the text is an http:// or https:// URL of at most 2048 bytes. Credentials before the host, a fragment, spaces, control '
    'characters and backslashes are refused, and hosts that no name server knows: labels have 1 to 63 letters, digits, - and _.';
revoke all on function postrider.is_endpoint_url(text) from public;
grant execute on function postrider.is_endpoint_url(text) to postrider_dispatcher;
