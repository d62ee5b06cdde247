-- {x}.example.com stays in a domain of its owner's. {x}, example.{x}, {x}example.com, {x}.com and {x}.20.3 may be anybody's.
create or replace function postrider.is_host_open(url text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return (
    select coalesce(h.behind !~ E'[.][^.]+[.][^.]*[^.0-9][^.]*[.]?$', false)
    from (select substring(substring(url collate "C" from E'^[^:]*:/*([^/?:]*)')
                           from '.*[{][A-Za-z_][A-Za-z0-9_]*[}](.*)$')) as h (behind));
comment on function postrider.is_host_open(text) is
    'Whether the value of a template decides whose host is called: no domain of two labels follows it there. Private.';
revoke all on function postrider.is_host_open(text) from public;
