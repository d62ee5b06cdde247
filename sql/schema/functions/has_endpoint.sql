-- A producer may not read the endpoints. This tells it that a destination is misspelt before it inserts the event.
create or replace function postrider.has_endpoint(id text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
return exists (select from postrider.endpoint as e
               where e.id = has_endpoint.id and e.state <> 'deleted' and e.url is not null and not postrider.is_template(e.url))
    -- An endpoint of a template is made when an event for it is routed.
    or exists (select from postrider.endpoint as t
               where has_endpoint.id like '%/%' and t.id = split_part(has_endpoint.id, '/', 1) and t.state <> 'deleted'
                 and postrider.is_template(t.url) and postrider.child_url(t.url, has_endpoint.id) is not null);
comment on function postrider.has_endpoint(text) is
    'Whether an event may have this destination: an endpoint of that id exists, or a template and its value. Private.';
revoke all on function postrider.has_endpoint(text) from public;
grant execute on function postrider.has_endpoint(text) to postrider_producer, postrider_dispatcher;
