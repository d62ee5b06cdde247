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
       d.cancelled_at,
       w.waits_for,
       case when w.waits_for = 'circuit' then c.probe_at end as next_probe_at
from postrider.delivery as d
cross join postrider.installation as i
left join postrider.outbox as o on o.id = d.event_id
left join postrider.endpoint as e on e.endpoint_no = d.endpoint_no
left join postrider.circuit as c on c.endpoint_no = d.endpoint_no and (c.state <> 'closed' or c.held_until > statement_timestamp())
cross join lateral (
    select case
        when d.status <> 'pending' or d.cancelled_at is not null or e.state = 'deleted' then null
        -- It waits for those before it in its lane, whatever its endpoint does.
        when d.due_at is null then 'key'
        when e.state <> 'enabled' then 'pause'
        -- An endpoint of a template waits with it. A join more would be one more than PostgreSQL plans at once in the recipes.
        when (select t.state from postrider.endpoint as t where t.endpoint_no = e.template_no) <> 'enabled' then 'pause'
        -- The later of the two holds it up: the probe, or its own time.
        when d.due_at <= greatest(c.probe_at, statement_timestamp()) and c.state <> 'closed' then 'circuit'
        when d.due_at > statement_timestamp() then
            case when d.attempts > coalesce(d.attempts_before, 0) then 'retry' else 'later' end
        when exists (select from postrider.refused as r
                     where r.stage = 'claim' and r.id = d.id and r.retry_at > statement_timestamp()) then 'retry'
        -- The endpoint limits the pace itself.
        when c.held_until > statement_timestamp() then 'slot'
        -- Read once per query, and only if a row comes this far.
        when d.endpoint_no = any (array(select f.endpoint_no from postrider.full_endpoint as f)) then 'slot'
        else 'due' end as waits_for) as w;
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
    'pending: waits, as waits_for says; in_progress: a dispatcher holds the delivery; complete; failed: given up or '
    'cancelled. Not indexed.';
comment on column postrider.delivery_status.attempts is 'Attempts begun, before and after a retry or replay.';
comment on column postrider.delivery_status.next_attempt_at is 'The next attempt comes no earlier, while pending; null otherwise, and while it waits for those of the same key before it.';
comment on column postrider.delivery_status.last_status_code is 'HTTP status of the last attempt; null if there was no answer.';
comment on column postrider.delivery_status.last_error is 'Why the last attempt failed, or why there was no attempt; null after a 2xx.';
comment on column postrider.delivery_status.created_at is 'When the event was first routed or replayed to this endpoint.';
comment on column postrider.delivery_status.completed_at is
    'When the delivery became complete or failed; null again while it is retried or replayed.';
comment on column postrider.delivery_status.failed_at is 'When the delivery was given up or cancelled.';
comment on column postrider.delivery_status.cancelled_at is 'When the event was cancelled, if this delivery was not complete by then, or when the delivery was skipped.';
comment on column postrider.delivery_status.waits_for is
    'What the delivery waits for, while pending: due (a dispatcher takes it next), retry (next_attempt_at, after a failure), later '
    '(next_attempt_at, because of deliver_after), circuit (next_probe_at: its endpoint is down), pause (its endpoint is paused or '
    'disabled), slot (the endpoint''s max_in_flight or rate_limit is used up, or the endpoint asked to be left alone for a while), key (those '
    'of the same key before it, because the endpoint is ordered; postrider.blocked_keys says whether one of them fails); null otherwise.';
comment on column postrider.delivery_status.next_probe_at is
    'When the endpoint is tried again, if the delivery waits for that; null otherwise. A probe takes one delivery, and the others follow '
    'if it succeeds.';
revoke all on postrider.delivery_status from public;
grant select on postrider.delivery_status to postrider_reader, postrider_dispatcher;
