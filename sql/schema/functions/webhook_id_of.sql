-- A producer may not read the code of the installation. This tells it the webhook-id of what it has inserted.
create or replace function postrider.webhook_id_of(event_id bigint, created_at timestamptz) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
return (select postrider.webhook_id(i.code, webhook_id_of.event_id, webhook_id_of.created_at) from postrider.installation as i);
comment on function postrider.webhook_id_of(bigint, timestamptz) is
    'Returns the webhook-id that an event of that id and time has in this installation. Private: postrider.publish calls it.';
revoke all on function postrider.webhook_id_of(bigint, timestamptz) from public;
grant execute on function postrider.webhook_id_of(bigint, timestamptz) to postrider_producer, postrider_dispatcher;
