-- A producer may not read the endpoints. This tells it that a destination is misspelt before it inserts the event.
create or replace function postrider.has_endpoint(id text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
return exists (select from postrider.endpoint as e where e.id = has_endpoint.id and e.state <> 'deleted');
comment on function postrider.has_endpoint(text) is 'Whether an endpoint of that id exists. Private.';
revoke all on function postrider.has_endpoint(text) from public;
grant execute on function postrider.has_endpoint(text) to postrider_producer, postrider_dispatcher;
