-- does:   inserts one event as a producer would, unless its idempotency key is known
-- params: $1 topic text, $2 payload text (JSON), $3 key, $4 headers text (a JSON object), $5 idempotency_key, $6 destination,
--         $7 delay_ms bigint, $8 deliver_after text (a timestamp, instead of a delay); $3 to $8 may be null
-- rows:   one: event_id bigint and webhook_id text, of the first event if the idempotency key is known; is_repeat boolean: it is
-- locks:  none that others wait for, except that a second insert of one idempotency key waits for the first
-- repeat: another event, unless it has an idempotency key
select p.event_id, p.webhook_id, p.is_repeat
from postrider.publish($1, $2::text::json, $3, $4::text::jsonb, $5, $6,
    coalesce($8::text::timestamptz, clock_timestamp() + $7::bigint * interval '1 millisecond')) as p
