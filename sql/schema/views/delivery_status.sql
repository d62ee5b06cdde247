create or replace view postrider.delivery_status as
select d.id as delivery_id,
       d.event_id,
       postrider.webhook_id(i.code, o.id, o.created_at) as webhook_id,
       e.id as endpoint_id,
       o.topic,
       o.key,
       d.status,
       d.attempts,
       d.due_at as next_attempt_at,
       d.last_status_code,
       d.last_error,
       d.created_at,
       d.completed_at,
       d.failed_at,
       d.cancelled_at
from postrider.delivery as d
cross join postrider.installation as i
left join postrider.outbox as o on o.id = d.event_id
left join postrider.endpoint as e on e.endpoint_no = d.endpoint_no;
comment on view postrider.delivery_status is
    'One row per delivery: an event and an endpoint. Quick whatever the size of the history: by delivery_id, by event_id, by failed_at '
    '> ..., and where next_attempt_at is not null. postrider.delivery_in_progress finds deliveries in progress.';
comment on column postrider.delivery_status.delivery_id is 'Delivery id.';
comment on column postrider.delivery_status.event_id is 'The event: postrider.outbox.id.';
comment on column postrider.delivery_status.webhook_id is 'The webhook-id header: the same on every attempt.';
comment on column postrider.delivery_status.endpoint_id is 'The endpoint.';
comment on column postrider.delivery_status.topic is 'Event type.';
comment on column postrider.delivery_status.key is 'Ordering key.';
comment on column postrider.delivery_status.status is
    'pending: waits for a slot or for the next attempt; in_progress: a dispatcher holds the delivery; complete; failed: given up or '
    'cancelled. Not indexed.';
comment on column postrider.delivery_status.attempts is 'Attempts begun, before and after a retry or replay.';
comment on column postrider.delivery_status.next_attempt_at is 'The next attempt comes no earlier, while pending; null otherwise.';
comment on column postrider.delivery_status.last_status_code is 'HTTP status of the last attempt; null if there was no answer.';
comment on column postrider.delivery_status.last_error is 'Why the last attempt failed, or why there was no attempt; null after a 2xx.';
comment on column postrider.delivery_status.created_at is 'When the event was first routed or replayed to this endpoint.';
comment on column postrider.delivery_status.completed_at is
    'When the delivery became complete or failed; null again while it is retried or replayed.';
comment on column postrider.delivery_status.failed_at is 'When the delivery was given up or cancelled.';
comment on column postrider.delivery_status.cancelled_at is 'When the event was cancelled, if this delivery was not complete by then.';
revoke all on postrider.delivery_status from public;
grant select on postrider.delivery_status to postrider_reader, postrider_dispatcher;
