-- Any one name in braces makes a template of an endpoint's URL.
create or replace function postrider.is_template(url text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return url collate "C" ~ '[{][A-Za-z_][A-Za-z0-9_]*[}]';
comment on function postrider.is_template(text) is
    'Whether a URL is that of an endpoint template: a name in braces stands in it, as in http://{destination}:8080/. Private.';
revoke all on function postrider.is_template(text) from public;
grant execute on function postrider.is_template(text) to postrider_reader, postrider_dispatcher;
