-- does:   inserts one event as a producer would, without the right to read the outbox
-- params: $1 topic text, $2 payload text (JSON), $3 key, $4 headers text (a JSON object), $5 idempotency_key, $6 destination,
--         $7 delay_ms bigint, $8 deliver_after text (a timestamp, instead of a delay); $3 to $8 may be null
-- rows:   one: id bigint (null if nothing was inserted); is_taken boolean: nothing was inserted because the sequence gave out
--         the id of another event (false where the idempotency key is known)
-- locks:  none that others wait for, except that a second insert of one idempotency key waits for the first
-- repeat: another event, unless it has an idempotency key
with inserted as (
    insert into postrider.outbox (topic, payload, key, headers, idempotency_key, destination, deliver_after)
    values ($1, $2::text::json, $3, $4::text::jsonb, $5, $6, coalesce($8::text::timestamptz, clock_timestamp() + $7::bigint * interval '1 millisecond'))
    on conflict do nothing
    returning true
)
select case when i.inserted > 0 then currval('postrider.outbox_id_seq') end as id,
       case when i.inserted = 0 then postrider.has_event(currval('postrider.outbox_id_seq')) else false end as is_taken
from (select count(*) as inserted from inserted) as i
