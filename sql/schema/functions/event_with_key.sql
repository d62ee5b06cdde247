-- A producer may not read the outbox. This tells it the ids of the event whose idempotency key it repeats, and nothing else of it.
create or replace function postrider.event_with_key(idempotency_key text, out event_id bigint, out webhook_id text)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    select o.id, postrider.webhook_id(i.code, o.id, o.created_at)
    from postrider.outbox as o
    cross join postrider.installation as i
    where o.idempotency_key = event_with_key.idempotency_key;
end;
comment on function postrider.event_with_key(text) is
    'Returns the ids of the event with an idempotency key; nulls if there is none. Private: postrider.publish calls it.';
revoke all on function postrider.event_with_key(text) from public;
grant execute on function postrider.event_with_key(text) to postrider_producer, postrider_dispatcher;
