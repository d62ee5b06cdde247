-- A producer may not read the outbox. This tells it why an INSERT did nothing: a repeated idempotency key, or an id that was taken.
create or replace function postrider.has_event(id bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
return exists (select from postrider.outbox as o where o.id = has_event.id);
comment on function postrider.has_event(bigint) is 'Whether an event of that id exists. Private.';
revoke all on function postrider.has_event(bigint) from public;
grant execute on function postrider.has_event(bigint) to postrider_producer, postrider_dispatcher;
