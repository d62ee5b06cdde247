-- The one definition of an endpoint's health. endpoint_health, the lists, the API, doctor and the metrics all read it here.
--
--    somebody paused it ------------------------------------> paused
--    Postrider gave up on it -------------------------------> disabled
--    its circuit is open or half open ----------------------> down
--    an attempt failed that began after the last success ---> failing
--    otherwise, also before the first attempt --------------> healthy
create or replace view postrider.endpoint_condition as
select e.endpoint_no,
       e.id,
       e.url,
       e.state,
       e.reason,
       e.description,
       case when e.state = 'disabled' then e.disabled_at end as disabled_at,
       coalesce(c.state, 'closed') as circuit,
       c.probe_at as next_probe_at,
       c.failing_since,
       w.health,
       case w.health when 'disabled' then 4 when 'down' then 3 when 'failing' then 2 when 'paused' then 1 else 0 end as trouble,
       case when w.health in ('paused', 'disabled') then e.reason
            when w.health in ('down', 'failing') then coalesce(latest.error, 'status ' || latest.status_code) end as cause,
       case w.health
           when 'paused' then coalesce(e.paused_at, e.changed_at)
           when 'disabled' then coalesce(e.disabled_at, e.changed_at)
           when 'healthy' then null
           else (
               -- A circuit's row begins anew when somebody resumes or changes the endpoint. It knows more than the attempts only when
               -- the first of them have been deleted with their events.
               select case when c.failing_since > known.last_success_at and c.failing_since < first.started_at - interval '10 seconds'
                           then c.failing_since
                           else coalesce(first.started_at, c.failing_since, known.last_failure_at) end
               from (select min(a.started_at) as started_at
                     from postrider.attempt as a
                     where a.endpoint_no = e.endpoint_no and a.outcome <> 'complete' and a.started_at > known.last_success_at) as first)
       end as health_since,
       nullif(known.last_success_at, '-infinity') as last_success_at,
       known.last_failure_at,
       (day.complete + coalesce(fresh.complete, 0))::bigint as complete_24h,
       (day.failed + coalesce(fresh.failed, 0))::bigint as failed_24h,
       (day.failed_attempts + coalesce(fresh.failed_attempts, 0))::bigint as failed_attempts_24h,
       case when c.held_until > clock_timestamp() then c.held_until end as held_until,
       e.template_id,
       e.is_template
from postrider.live_endpoint as e
left join postrider.circuit as c on c.endpoint_no = e.endpoint_no
cross join lateral (
    select coalesce(sum(t.complete) filter (where t.hour > now() - interval '24 hours'), 0) as complete,
           coalesce(sum(t.failed) filter (where t.hour > now() - interval '24 hours'), 0) as failed,
           coalesce(sum(t.failed_attempts) filter (where t.hour > now() - interval '24 hours'), 0) as failed_attempts,
           max(t.last_success_at) as last_success_at,
           max(t.last_failure_at) as last_failure_at
    from postrider.endpoint_stat_hourly as t where t.endpoint_no = e.endpoint_no) as day
left join (
    select t.endpoint_no,
           sum(t.complete) filter (where date_trunc('hour', t.at) > now() - interval '24 hours') as complete,
           sum(t.failed) filter (where date_trunc('hour', t.at) > now() - interval '24 hours') as failed,
           sum(t.failed_attempts) filter (where date_trunc('hour', t.at) > now() - interval '24 hours') as failed_attempts,
           max(t.last_success_at) as last_success_at,
           max(t.last_failure_at) as last_failure_at
    from postrider.endpoint_stat as t group by t.endpoint_no) as fresh on fresh.endpoint_no = e.endpoint_no
-- One descent of attempt_unsuccessful.
left join lateral (
    select a.started_at, a.status_code, a.error
    from postrider.attempt as a
    where a.endpoint_no = e.endpoint_no and a.outcome <> 'complete'
    order by a.started_at desc
    limit 1) as latest on true
cross join lateral (
    select coalesce(greatest(day.last_success_at, fresh.last_success_at), '-infinity') as last_success_at,
           greatest(day.last_failure_at, fresh.last_failure_at) as last_failure_at) as known
cross join lateral (
    select case
        when e.state <> 'enabled' then e.state
        when c.state <> 'closed' then 'down'
        when greatest(latest.started_at, known.last_failure_at) > known.last_success_at then 'failing'
        else 'healthy' end as health) as w;
comment on view postrider.endpoint_condition is 'One row per endpoint: the definition of its health, and what it follows from. Private.';
comment on column postrider.endpoint_condition.endpoint_no is 'Private short key.';
comment on column postrider.endpoint_condition.id is 'The endpoint.';
comment on column postrider.endpoint_condition.url is 'Where the endpoint''s deliveries go.';
comment on column postrider.endpoint_condition.state is 'enabled, paused or disabled.';
comment on column postrider.endpoint_condition.reason is 'Why the endpoint is paused or disabled.';
comment on column postrider.endpoint_condition.description is 'A note for people.';
comment on column postrider.endpoint_condition.disabled_at is 'When Postrider disabled the endpoint; null unless disabled.';
comment on column postrider.endpoint_condition.circuit is 'closed, open or half_open.';
comment on column postrider.endpoint_condition.next_probe_at is 'The circuit''s probe_at.';
comment on column postrider.endpoint_condition.failing_since is 'The circuit''s failing_since.';
comment on column postrider.endpoint_condition.health is 'healthy, failing, down, paused or disabled.';
comment on column postrider.endpoint_condition.trouble is
    'How much somebody has to look at it: 4 disabled, 3 down, 2 failing, 1 paused, 0 healthy.';
comment on column postrider.endpoint_condition.cause is 'Why the endpoint is not healthy.';
comment on column postrider.endpoint_condition.health_since is 'Since when the endpoint is not healthy.';
comment on column postrider.endpoint_condition.last_success_at is 'When the last successful request began.';
comment on column postrider.endpoint_condition.last_failure_at is 'When the last failed request began.';
comment on column postrider.endpoint_condition.complete_24h is 'Deliveries completed in the last 24 hours.';
comment on column postrider.endpoint_condition.failed_24h is 'Deliveries given up in the last 24 hours.';
comment on column postrider.endpoint_condition.failed_attempts_24h is 'Attempts that failed in the last 24 hours.';
comment on column postrider.endpoint_condition.held_until is 'The circuit''s held_until, while it lasts.';
comment on column postrider.endpoint_condition.template_id is 'The template of the endpoint; null: it is of none.';
comment on column postrider.endpoint_condition.is_template is 'Whether the endpoint is a template.';
revoke all on postrider.endpoint_condition from public;
grant select on postrider.endpoint_condition to postrider_dispatcher;
