create or replace function postrider.webhook_id(installation_code text, event_id bigint, created_at timestamptz) returns text
language sql stable parallel safe
return 'evt_' || installation_code || '_' || to_hex((extract(epoch from created_at) * 1000000)::bigint) || '_' || event_id;
comment on function postrider.webhook_id(text, bigint, timestamptz) is
    'Returns the webhook-id of an event. It is the same on every attempt and for every endpoint, has no full stop, and differs in every '
    'database and after a restore.';
revoke all on function postrider.webhook_id(text, bigint, timestamptz) from public;
grant execute on function postrider.webhook_id(text, bigint, timestamptz) to postrider_reader, postrider_dispatcher;
