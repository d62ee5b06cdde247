create or replace view postrider.endpoint_health as
select e.id as endpoint_id,
       e.url,
       e.state,
       e.reason,
       waiting.pending,
       coalesce(held.in_progress, 0) as in_progress,
       e.failed_24h,
       e.complete_24h,
       waiting.oldest_pending_at,
       e.last_success_at,
       e.last_failure_at,
       (select count(*)
        from (select from postrider.attempt as a
              where a.endpoint_no = e.endpoint_no and a.outcome <> 'complete'
                and a.started_at > coalesce(e.last_success_at, '-infinity')
              limit 1000) as failures) as consecutive_failures,
       e.circuit,
       e.next_probe_at,
       e.failing_since,
       e.disabled_at,
       e.description,
       e.health,
       e.cause,
       e.health_since,
       e.failed_attempts_24h,
       e.held_until,
       e.template_id
from postrider.endpoint_condition as e
cross join lateral (
    select count(*) as pending, min(d.created_at) as oldest_pending_at
    from postrider.waiting_delivery as d where d.endpoint_no = e.endpoint_no) as waiting
left join (
    select h.endpoint_no, count(*) as in_progress
    from postrider.claimed_delivery as h group by h.endpoint_no) as held on held.endpoint_no = e.endpoint_no;
comment on view postrider.endpoint_health is 'One row per endpoint, with its health.';
comment on column postrider.endpoint_health.endpoint_id is 'The endpoint.';
comment on column postrider.endpoint_health.url is 'Where the endpoint''s deliveries go.';
comment on column postrider.endpoint_health.state is 'enabled, paused or disabled.';
comment on column postrider.endpoint_health.reason is 'Why the endpoint is paused or disabled.';
comment on column postrider.endpoint_health.pending is 'Deliveries that wait: for a slot, for their next attempt, or for those of the same key before them.';
comment on column postrider.endpoint_health.in_progress is 'Deliveries that a dispatcher holds.';
comment on column postrider.endpoint_health.failed_24h is
    'Deliveries given up after their last attempt in the last 24 hours, counted by whole hours. A retry does not lower the count. '
    'Cancelled deliveries do not count.';
comment on column postrider.endpoint_health.complete_24h is
    'Deliveries completed in the last 24 hours, counted by whole hours. A replayed delivery counts again.';
comment on column postrider.endpoint_health.oldest_pending_at is 'When the oldest waiting delivery was routed.';
comment on column postrider.endpoint_health.last_success_at is 'When the last successful request began.';
comment on column postrider.endpoint_health.last_failure_at is 'When the last failed request began.';
comment on column postrider.endpoint_health.consecutive_failures is 'Failed requests since the last success, counted up to 1000.';
comment on column postrider.endpoint_health.circuit is
    'closed: deliveries are attempted; open: the endpoint does not answer, and deliveries wait for next_probe_at; half_open: one '
    'delivery is being tried. Any 2xx closes the circuit, and so does postrider.resume_endpoint.';
comment on column postrider.endpoint_health.next_probe_at is
    'Open: the next due delivery is tried no earlier. Half open: another dispatcher may try after this time, if the probing one died.';
comment on column postrider.endpoint_health.failing_since is
    'When the first attempt after the last success began; null if the last attempt succeeded.';
comment on column postrider.endpoint_health.disabled_at is
    'When Postrider disabled the endpoint; null unless disabled. Deliveries wait for postrider.resume_endpoint.';
comment on column postrider.endpoint_health.description is 'A note for people.';
comment on column postrider.endpoint_health.health is
    'healthy: the last attempt succeeded, or there was none; failing: attempts failed since the last success; down: its circuit is open, '
    'and deliveries wait for next_probe_at; paused: somebody paused it; disabled: Postrider gave up on it. All surfaces use this word.';
comment on column postrider.endpoint_health.cause is
    'Why the endpoint is not healthy: the error of its last failed attempt, or the reason of the pause; null while healthy.';
comment on column postrider.endpoint_health.health_since is
    'Since when the endpoint is not healthy: when the first attempt after the last success began, or when it was paused or disabled; '
    'null while healthy.';
comment on column postrider.endpoint_health.failed_attempts_24h is
    'Attempts that failed in the last 24 hours, counted by whole hours, whether their deliveries are tried again or not.';
comment on column postrider.endpoint_health.held_until is
    'Nothing is sent before, because the endpoint asked for that: Retry-After, or 429. Null if it did not, or the time is over.';
comment on column postrider.endpoint_health.template_id is
    'The template whose settings the endpoint has; null: it has its own. An event whose destination is TEMPLATE/VALUE made it.';
revoke all on postrider.endpoint_health from public;
grant select on postrider.endpoint_health to postrider_reader, postrider_dispatcher;
