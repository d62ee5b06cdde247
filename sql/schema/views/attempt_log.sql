create or replace view postrider.attempt_log as
select a.delivery_id,
       d.event_id,
       e.id as endpoint_id,
       a.attempt,
       a.started_at,
       a.duration_ms,
       a.status_code,
       a.error,
       a.response_excerpt
-- The two parts have no joins and conditions of their own. So the planner looks up a few deliveries in both by index.
from (select delivery_id, endpoint_no, attempt, started_at, duration_ms, status_code, error, response_excerpt
      from postrider.attempt
      union all
      select id, endpoint_no, 1, created_at, first_duration_ms, last_status_code, null, null
      from postrider.delivery) as a
left join postrider.delivery as d on d.id = a.delivery_id
left join postrider.endpoint as e on e.endpoint_no = a.endpoint_no
where a.duration_ms is not null;
comment on view postrider.attempt_log is
    'One row per HTTP request. Quick whatever the size of the history: by delivery_id, and by started_at > ....';
comment on column postrider.attempt_log.delivery_id is 'Delivery id.';
comment on column postrider.attempt_log.event_id is 'The event: postrider.outbox.id.';
comment on column postrider.attempt_log.endpoint_id is 'The endpoint.';
comment on column postrider.attempt_log.attempt is 'Number of the attempt, from 1; goes on counting after a retry or replay.';
comment on column postrider.attempt_log.started_at is
    'When the request began. For a first attempt that succeeded with an empty answer: when its event was routed, at most half a second '
    'before.';
comment on column postrider.attempt_log.duration_ms is 'Time until the answer was read or given up, in milliseconds.';
comment on column postrider.attempt_log.status_code is 'HTTP status; null if there was no answer.';
comment on column postrider.attempt_log.error is 'Why the attempt failed; null after a 2xx.';
comment on column postrider.attempt_log.response_excerpt is 'At most 2 KiB of the response body.';
revoke all on postrider.attempt_log from public;
grant select on postrider.attempt_log to postrider_reader, postrider_dispatcher;
