-- why: endpoint_health counted attempts, and took longer with every delivery that ever was. Now each settled batch leaves
--      one row per endpoint, summed up by the hour. backlog walked the whole outbox, and what is in progress could not be
--      found without walking all deliveries.
-- old code: survives; what it settles is missing from endpoint_health.

create table postrider.tally (
    endpoint_no     integer     not null,
    at              timestamptz not null default clock_timestamp(),
    complete        integer     not null,
    failed          integer     not null,
    last_success_at timestamptz,
    last_failure_at timestamptz
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
comment on table postrider.tally is 'What one settled batch did to one endpoint, until it is summed up by the hour. Append-only: no row is fought for. Private.';
comment on column postrider.tally.endpoint_no is 'The endpoint.';
comment on column postrider.tally.at is 'When it was settled.';
comment on column postrider.tally.complete is 'Deliveries completed.';
comment on column postrider.tally.failed is 'Deliveries given up.';
comment on column postrider.tally.last_success_at is 'When the last successful request of the batch began.';
comment on column postrider.tally.last_failure_at is 'When the last failed request of the batch began.';

create table postrider.hourly_tally (
    endpoint_no     integer     not null,
    hour            timestamptz not null,
    complete        bigint      not null,
    failed          bigint      not null,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    primary key (endpoint_no, hour),
    foreign key (endpoint_no) references postrider.endpoint (no) on delete cascade
) with (fillfactor = 50);
comment on table postrider.hourly_tally is 'Deliveries finished per endpoint and hour, a day back; -infinity: everything before. Private.';
comment on column postrider.hourly_tally.endpoint_no is 'The endpoint.';
comment on column postrider.hourly_tally.hour is 'Beginning of the hour; -infinity: everything that is older than a day.';
comment on column postrider.hourly_tally.complete is 'Deliveries completed.';
comment on column postrider.hourly_tally.failed is 'Deliveries given up.';
comment on column postrider.hourly_tally.last_success_at is 'When the last successful request began.';
comment on column postrider.hourly_tally.last_failure_at is 'When the last failed request began.';

insert into postrider.hourly_tally (endpoint_no, hour, complete, failed, last_success_at, last_failure_at)
select a.endpoint_no,
       date_trunc('hour', a.started_at),
       count(*) filter (where a.outcome = 'complete'),
       count(*) filter (where a.outcome = 'failed'),
       max(a.started_at) filter (where a.outcome = 'complete'),
       max(a.started_at) filter (where a.outcome <> 'complete')
from postrider.attempt as a
join postrider.endpoint as e on e.no = a.endpoint_no
group by 1, 2;

create or replace view postrider.endpoint_health as
select e.id as endpoint_id,
       e.url,
       e.state,
       e.reason,
       waiting.pending,
       coalesce(held.in_progress, 0) as in_progress,
       (day.failed + coalesce(fresh.failed, 0))::bigint as failed_24h,
       (day.complete + coalesce(fresh.complete, 0))::bigint as complete_24h,
       waiting.oldest_pending_at,
       greatest(day.last_success_at, fresh.last_success_at) as last_success_at,
       greatest(day.last_failure_at, fresh.last_failure_at) as last_failure_at,
       (select count(*)
        from (select from postrider.attempt as a
              where a.endpoint_no = e.no and a.outcome <> 'complete'
                and a.started_at > coalesce(greatest(day.last_success_at, fresh.last_success_at), '-infinity')
              limit 1000) as failures) as consecutive_failures
from postrider.endpoint as e
cross join lateral (
    select count(*) as pending, min(d.created_at) as oldest_pending_at
    from postrider.delivery as d where d.endpoint_no = e.no and d.due_at is not null) as waiting
cross join lateral (
    select coalesce(sum(t.complete) filter (where t.hour > now() - interval '24 hours'), 0) as complete,
           coalesce(sum(t.failed) filter (where t.hour > now() - interval '24 hours'), 0) as failed,
           max(t.last_success_at) as last_success_at,
           max(t.last_failure_at) as last_failure_at
    from postrider.hourly_tally as t where t.endpoint_no = e.no) as day
left join (
    select t.endpoint_no,
           sum(t.complete) filter (where date_trunc('hour', t.at) > now() - interval '24 hours') as complete,
           sum(t.failed) filter (where date_trunc('hour', t.at) > now() - interval '24 hours') as failed,
           max(t.last_success_at) as last_success_at,
           max(t.last_failure_at) as last_failure_at
    from postrider.tally as t group by t.endpoint_no) as fresh on fresh.endpoint_no = e.no
left join (
    select h.endpoint_no, count(*) as in_progress
    from postrider.held_delivery as h group by h.endpoint_no) as held on held.endpoint_no = e.no
where e.state <> 'deleted';
comment on column postrider.endpoint_health.consecutive_failures is 'Failed requests since the last success, counted up to 1000.';

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
left join postrider.endpoint as e on e.no = d.endpoint_no;

-- A function and not a column: the planner looks at its value, and sees that it is near the end of the index.
create function postrider.routed_below() returns xid8
language sql stable security definer set search_path = pg_catalog, pg_temp
return (select i.routed_below from postrider.installation as i);
comment on function postrider.routed_below() is 'Every event inserted by a transaction with a lower id is routed. Private.';
revoke all on function postrider.routed_below() from public;
grant execute on function postrider.routed_below() to postrider_reader, postrider_dispatcher;

create or replace view postrider.backlog as
select unrouted.unrouted,
       waiting.pending,
       (select count(*) from postrider.held_delivery) as in_progress,
       (select count(*) from postrider.delivery as d where d.failed_at is not null) as failed,
       unrouted.oldest_unrouted_at,
       waiting.oldest_due_at
from (select count(*) as unrouted, min(o.created_at) as oldest_unrouted_at
      from postrider.outbox as o
      where o.created_xid >= postrider.routed_below() and o.status = 'pending') as unrouted
cross join (select count(*) as pending, min(d.due_at) as oldest_due_at
            from postrider.delivery as d where d.due_at is not null) as waiting;

-- What is in progress is found through the claims, whatever the size of the history.
create view postrider.delivery_in_progress as
select h.id as delivery_id,
       d.event_id,
       e.id as endpoint_id,
       o.topic,
       d.attempts as attempt,
       h.dispatcher_id,
       p.host,
       p.lease_until
from postrider.held_delivery as h
join postrider.delivery as d on d.id = h.id
left join postrider.outbox as o on o.id = d.event_id
left join postrider.endpoint as e on e.no = h.endpoint_no
left join postrider.dispatcher as p on p.id = h.dispatcher_id;
comment on view postrider.delivery_in_progress is 'One row per delivery that a dispatcher holds: under way, or about to be.';
comment on column postrider.delivery_in_progress.delivery_id is 'Delivery id.';
comment on column postrider.delivery_in_progress.endpoint_id is 'The endpoint.';
comment on column postrider.delivery_in_progress.topic is 'Event type.';
comment on column postrider.delivery_in_progress.attempt is 'Which attempt it is.';
comment on column postrider.delivery_in_progress.dispatcher_id is 'Who holds it: postrider.dispatcher_status.';
comment on column postrider.delivery_in_progress.host is 'The dispatcher''s host name and process id.';
comment on column postrider.delivery_in_progress.lease_until is 'If the dispatcher died, others take it over after this time.';
grant select on postrider.delivery_in_progress to postrider_reader, postrider_dispatcher;

grant select, insert, update, delete on postrider.tally, postrider.hourly_tally to postrider_dispatcher;

-- What \d+ says, where there is more to say by now.
comment on table postrider.outbox is
    'Events. Insert (topic, payload) in your own transaction: it is delivered to every subscribed endpoint if, and only if, that transaction commits. '
    'postrider.cancel stops one, postrider.retry and postrider.replay send it again.';
comment on column postrider.outbox.completed_at is 'When the last delivery was settled; null again while one is retried or replayed.';
comment on column postrider.outbox.deliveries is 'How many endpoints it goes to; null until routed; 0: nobody subscribed, or it was cancelled before.';
comment on column postrider.outbox.failed is 'How many deliveries were given up or cancelled.';
comment on column postrider.outbox.status is 'pending; in_progress from routing until the last delivery is settled; then complete, or failed if one was given up or cancelled.';
comment on column postrider.outbox.key is 'Ordering key, at most 256 bytes; order is not kept yet.';
comment on column postrider.endpoint.secret is 'Signing secret: whsec_ and base64 of 24 to 64 bytes; postrider.rotate_secret changes it without a gap.';

comment on view postrider.delivery_status is
    'One row per event and endpoint it is delivered to. Quick whatever the size of the history: by delivery_id, by event_id, by failed_at > ..., and where next_attempt_at is not null. '
    'What is in progress: postrider.delivery_in_progress.';
comment on column postrider.delivery_status.event_id is 'The event: postrider.outbox.id.';
comment on column postrider.delivery_status.status is 'pending: waits for a slot or its next attempt; in_progress: a dispatcher holds it; complete; failed: given up or cancelled. Not indexed.';
comment on column postrider.delivery_status.attempts is 'Attempts begun, before and after a retry or replay.';
comment on column postrider.delivery_status.next_attempt_at is 'Not before this time, while pending; null otherwise.';
comment on column postrider.delivery_status.last_error is 'Why the last attempt failed, or why there was none; null after a 2xx.';
comment on column postrider.delivery_status.created_at is 'When the event was routed or replayed to this endpoint first.';
comment on column postrider.delivery_status.completed_at is 'When it became complete or failed; null again while it is retried or replayed.';
comment on column postrider.delivery_status.failed_at is 'When it was given up or cancelled.';
comment on column postrider.delivery_status.cancelled_at is 'When its event was cancelled before this delivery was complete.';

comment on view postrider.attempt_log is 'One row per HTTP request. Quick whatever the size of the history: by delivery_id, and by started_at > ....';
comment on column postrider.attempt_log.event_id is 'The event: postrider.outbox.id.';
comment on column postrider.attempt_log.attempt is 'First attempt: 1; goes on counting after a retry or replay.';
comment on column postrider.delivery_in_progress.event_id is 'The event: postrider.outbox.id.';
comment on column postrider.endpoint_health.failed_24h is 'Deliveries given up after their last attempt in the last 24 hours, counted by whole hours. A retry takes none back; what was cancelled is not counted.';
comment on column postrider.endpoint_health.complete_24h is 'Deliveries completed in the last 24 hours, counted by whole hours. A replay counts again.';
comment on column postrider.backlog.failed is 'Deliveries given up or cancelled, as long as they are kept.';
comment on column postrider.dispatcher_status.is_leader is 'One dispatcher leads: inserts wake it, and it wakes the others. Any of them takes over.';
comment on column postrider.dispatcher_status.wake_mode is 'notify: woken by LISTEN/NOTIFY; poll: looks at every poll interval.';
comment on column postrider.dispatcher_status.wake_reason is 'Why it polls; null if it is woken.';

comment on function postrider.bell_key() is 'Advisory lock: held exclusively while the leading dispatcher sleeps, shared by producers that did not ring. Private.';
comment on function postrider.leader_key() is 'Advisory lock of the dispatcher that arms the bell. Private.';
comment on function postrider.pause_endpoint(text, text) is
    'Stops attempts, for a reason that endpoint_health shows; deliveries wait as pending and nothing is lost. Returns (reason, endpoint_id, state). Raises P0002 for an unknown id.';
comment on function postrider.resume_endpoint(text) is
    'Enables a paused or disabled endpoint; what waits is delivered. Returns (endpoint_id, state). Raises P0002 for an unknown id.';
