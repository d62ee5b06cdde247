-- A URL may have a scheme in capitals, and an @ in its path and its query. Only before the host does an @ end credentials.
-- A host that is written in ASCII is an address in brackets, or has labels of 1 to 63 letters, digits, - and _, 253 in all.
-- A template is judged with a value in it. Its value stands in the host, is the port, or stands in a segment of the path.
create or replace function postrider.is_endpoint_url(url text) returns boolean
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp
return (
    select octet_length(is_endpoint_url.url) <= 2048
       and u.url collate "C" ~ '^[Hh][Tt][Tt][Pp][Ss]?:///*[^\x01-\x20\x7f/?#@\\]*([/?][^\x01-\x20\x7f#\\]*)?$'
       and u.url collate "C" !~ '^[^:]*//$'
       and (u.url collate "C" ~ '^[^:]*:/*[^/?]*([[%]|[^\x01-\x7f])'
            or u.url collate "C" ~ '^[^:]*:/*([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?(:[0-9]*)?([/?]|$)'
               and octet_length(rtrim(substring(u.url from '^[^:]*:/*([^/?:]*)'), '.')) <= 253)
    from (select case
        when is_endpoint_url.url collate "C" !~ '[{][A-Za-z_][A-Za-z0-9_]*[}]' then is_endpoint_url.url
        -- Two names; in the query; in an address in brackets; after a % whose digits it would be.
        when (select count(distinct n.found[1])
              from regexp_matches(is_endpoint_url.url collate "C", '[{]([A-Za-z_][A-Za-z0-9_]*)[}]', 'g') as n (found)) > 1
          or is_endpoint_url.url collate "C" ~ '(\?.*|^[^/]*//[^/?]*\[[^]/?]*|%[0-9A-Fa-f]?)[{][A-Za-z_][A-Za-z0-9_]*[}]' then ''
        else regexp_replace(
            regexp_replace(is_endpoint_url.url collate "C", '^([^:]*:/*[^/?:]*:)[{][A-Za-z_][A-Za-z0-9_]*[}](?=[/?]|$)', '\180'),
            '[{][A-Za-z_][A-Za-z0-9_]*[}]', 'x', 'g') end) as u (url));
comment on function postrider.is_endpoint_url(text) is
    'Whether the text is an http:// or https:// URL of at most 2048 bytes. Credentials before the host, a fragment, spaces, control '
    'characters and backslashes are refused, and hosts that no name server knows: labels have 1 to 63 letters, digits, - and _. In a '
    'template one name in braces, once or more, stands for a value in the host, for the port, or in a segment of the path.';
revoke all on function postrider.is_endpoint_url(text) from public;
grant execute on function postrider.is_endpoint_url(text) to postrider_reader, postrider_dispatcher;
