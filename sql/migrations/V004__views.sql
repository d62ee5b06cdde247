-- why: what SQL users read. Public names: columns are added, never removed or renamed.
-- old code: none.

create view postrider.delivery_status as
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
       d.completed_at
from postrider.delivery as d
cross join postrider.installation as i
left join postrider.outbox as o on o.id = d.event_id
left join postrider.endpoint as e on e.no = d.endpoint_no;
comment on view postrider.delivery_status is 'One row per event and endpoint it is delivered to.';
comment on column postrider.delivery_status.delivery_id is 'Delivery id.';
comment on column postrider.delivery_status.event_id is 'postrider.outbox.id.';
comment on column postrider.delivery_status.webhook_id is 'The webhook-id header: the same on every attempt.';
comment on column postrider.delivery_status.endpoint_id is 'The endpoint.';
comment on column postrider.delivery_status.topic is 'Event type.';
comment on column postrider.delivery_status.key is 'Ordering key.';
comment on column postrider.delivery_status.status is 'pending, in_progress, complete or failed.';
comment on column postrider.delivery_status.attempts is 'Attempts begun.';
comment on column postrider.delivery_status.next_attempt_at is 'When it is due, while pending.';
comment on column postrider.delivery_status.last_status_code is 'HTTP status of the last attempt; null if there was no answer.';
comment on column postrider.delivery_status.last_error is 'Why the last attempt failed.';
comment on column postrider.delivery_status.created_at is 'When the event was routed.';
comment on column postrider.delivery_status.completed_at is 'When it was settled for good.';

create view postrider.attempt_log as
select a.delivery_id,
       d.event_id,
       e.id as endpoint_id,
       a.attempt,
       a.started_at,
       a.duration_ms,
       a.status_code,
       a.error,
       a.response_excerpt
from postrider.attempt as a
left join postrider.delivery as d on d.id = a.delivery_id
left join postrider.endpoint as e on e.no = a.endpoint_no;
comment on view postrider.attempt_log is 'One row per HTTP request.';
comment on column postrider.attempt_log.delivery_id is 'Delivery id.';
comment on column postrider.attempt_log.event_id is 'postrider.outbox.id.';
comment on column postrider.attempt_log.endpoint_id is 'The endpoint.';
comment on column postrider.attempt_log.attempt is 'First attempt: 1.';
comment on column postrider.attempt_log.started_at is 'When the request began.';
comment on column postrider.attempt_log.duration_ms is 'Until the answer was read or given up, in milliseconds.';
comment on column postrider.attempt_log.status_code is 'HTTP status; null if there was no answer.';
comment on column postrider.attempt_log.error is 'Why it failed; null after a 2xx.';
comment on column postrider.attempt_log.response_excerpt is 'At most 2 KiB of the response body.';

-- What is in progress is found through the claims: few rows, whatever the size of the history.
create view postrider.held_delivery as
select d.id, d.endpoint_no, c.dispatcher_id
from postrider.claim as c
cross join lateral unnest(c.delivery_ids) as held (id)
join postrider.delivery as d on d.id = held.id and d.claim_id = c.id;
comment on view postrider.held_delivery is 'Deliveries in progress, and who holds them. Private.';
comment on column postrider.held_delivery.id is 'Delivery id.';
comment on column postrider.held_delivery.endpoint_no is 'The endpoint.';
comment on column postrider.held_delivery.dispatcher_id is 'The dispatcher.';

create view postrider.endpoint_health as
select e.id as endpoint_id,
       e.url,
       e.state,
       e.reason,
       waiting.pending,
       (select count(*) from postrider.held_delivery as h where h.endpoint_no = e.no) as in_progress,
       (select count(*) from postrider.delivery as d
        where d.endpoint_no = e.no and d.failed_at > now() - interval '24 hours') as failed_24h,
       good.complete_24h,
       waiting.oldest_pending_at,
       good.last_success_at,
       (select max(a.started_at) from postrider.attempt as a
        where a.endpoint_no = e.no and a.outcome <> 'complete') as last_failure_at,
       (select count(*) from postrider.attempt as a
        where a.endpoint_no = e.no and a.outcome <> 'complete'
          and a.started_at > coalesce(good.last_success_at, '-infinity')) as consecutive_failures
from postrider.endpoint as e
cross join lateral (
    select count(*) as pending, min(d.created_at) as oldest_pending_at
    from postrider.delivery as d where d.endpoint_no = e.no and d.due_at is not null) as waiting
cross join lateral (
    select count(*) filter (where a.started_at > now() - interval '24 hours') as complete_24h,
           max(a.started_at) as last_success_at
    from postrider.attempt as a where a.endpoint_no = e.no and a.outcome = 'complete') as good;
comment on view postrider.endpoint_health is 'One row per endpoint: how it is doing.';
comment on column postrider.endpoint_health.endpoint_id is 'The endpoint.';
comment on column postrider.endpoint_health.url is 'Where its deliveries go.';
comment on column postrider.endpoint_health.state is 'enabled, paused or disabled.';
comment on column postrider.endpoint_health.reason is 'Why it is paused or disabled.';
comment on column postrider.endpoint_health.pending is 'Deliveries that wait, for a slot or for their next attempt.';
comment on column postrider.endpoint_health.in_progress is 'Deliveries that a dispatcher holds.';
comment on column postrider.endpoint_health.failed_24h is 'Deliveries given up in the last 24 hours.';
comment on column postrider.endpoint_health.complete_24h is 'Deliveries completed in the last 24 hours.';
comment on column postrider.endpoint_health.oldest_pending_at is 'When the oldest waiting delivery was routed.';
comment on column postrider.endpoint_health.last_success_at is 'When the last successful request began.';
comment on column postrider.endpoint_health.last_failure_at is 'When the last failed request began.';
comment on column postrider.endpoint_health.consecutive_failures is 'Failed requests since the last success.';

create view postrider.backlog as
select unrouted.unrouted,
       waiting.pending,
       (select count(*) from postrider.held_delivery) as in_progress,
       (select count(*) from postrider.delivery as d where d.failed_at is not null) as failed,
       unrouted.oldest_unrouted_at,
       waiting.oldest_due_at
from (select count(*) as unrouted, min(o.created_at) as oldest_unrouted_at
      from postrider.outbox as o
      where o.created_xid >= (select i.routed_below from postrider.installation as i) and o.status = 'pending') as unrouted
cross join (select count(*) as pending, min(d.due_at) as oldest_due_at
            from postrider.delivery as d where d.due_at is not null) as waiting;
comment on view postrider.backlog is 'One row: what is still to do.';
comment on column postrider.backlog.unrouted is 'Events not yet routed.';
comment on column postrider.backlog.pending is 'Deliveries that wait, for a slot or for their next attempt.';
comment on column postrider.backlog.in_progress is 'Deliveries that a dispatcher holds.';
comment on column postrider.backlog.failed is 'Deliveries given up and kept.';
comment on column postrider.backlog.oldest_unrouted_at is 'When the oldest unrouted event was inserted.';
comment on column postrider.backlog.oldest_due_at is 'When the most overdue delivery was, or the next one is, due.';

create view postrider.dispatcher_status as
select d.id as dispatcher_id,
       d.host,
       d.version,
       d.started_at,
       d.lease_until,
       d.is_leader and d.lease_until > clock_timestamp() as is_leader,
       d.wake_mode,
       d.wake_reason
from postrider.dispatcher as d;
comment on view postrider.dispatcher_status is 'One row per dispatcher that runs, or died without its claims being taken back yet.';
comment on column postrider.dispatcher_status.dispatcher_id is 'New at every start.';
comment on column postrider.dispatcher_status.host is 'Host name and process id.';
comment on column postrider.dispatcher_status.version is 'Postrider version.';
comment on column postrider.dispatcher_status.started_at is 'When it registered.';
comment on column postrider.dispatcher_status.lease_until is 'Alive until then at least; in the past: dead or cut off.';
comment on column postrider.dispatcher_status.is_leader is 'Whether it arms the bell.';
comment on column postrider.dispatcher_status.wake_mode is 'notify or poll.';
comment on column postrider.dispatcher_status.wake_reason is 'Why it polls.';
