-- why: an endpoint that does not answer is left alone until a probe succeeds, whichever dispatcher makes it; one that has
--      done nothing but fail for days is disabled.
-- old code: runs on; it neither counts failures nor heeds an open circuit.

create table postrider.circuit (
    endpoint_no   integer     primary key references postrider.endpoint (no) on delete cascade,
    state         text        not null default 'closed' check (state in (
        'closed',     -- deliveries are attempted
        'open',       -- too many attempts in a row got no answer: deliveries wait for probe_at
        'half_open')), -- a dispatcher probes it with one delivery
    failures      integer     not null check (failures >= 0),
    failed_probes integer     not null default 0 check (failed_probes >= 0),
    failing_since timestamptz not null,
    changed_at    timestamptz not null,
    probe_at      timestamptz,
    probe_by      bigint,
    constraint open_is_probed check ((state = 'closed') = (probe_at is null)),
    constraint half_open_has_a_prober check ((state = 'half_open') = (probe_by is not null))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0);
comment on table postrider.circuit is
    'One row per endpoint whose last attempt failed: none while all is well. Written by what fails, and once by the first success. Private; read postrider.endpoint_health.';
comment on column postrider.circuit.endpoint_no is 'The endpoint.';
comment on column postrider.circuit.state is 'closed, open or half_open.';
comment on column postrider.circuit.failures is 'Attempts in a row that got no answer, a 5xx, 408 or 429; any other answer begins anew.';
comment on column postrider.circuit.failed_probes is 'Probes that failed since it opened: each doubles the time to the next.';
comment on column postrider.circuit.failing_since is 'When the first attempt after the last success began.';
comment on column postrider.circuit.changed_at is 'When its state last changed.';
comment on column postrider.circuit.probe_at is 'Open: the next probe, not before. Half open: until then the right to probe is with probe_by; afterwards anybody''s.';
comment on column postrider.circuit.probe_by is 'The dispatcher that probes.';
grant select, insert, update, delete on postrider.circuit to postrider_dispatcher;

-- Whoever resumes an endpoint or changes it wants to see what happens now; a deleted one has no health.
create function postrider.forget_circuit() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    delete from postrider.circuit as c where c.endpoint_no = new.no;
    return null;
end
$$;
comment on function postrider.forget_circuit() is 'Closes the circuit of an endpoint that was resumed, changed or deleted. Private.';
revoke all on function postrider.forget_circuit() from public;
create trigger forget_circuit after update on postrider.endpoint
    for each row when (new.state in ('enabled', 'deleted')) execute function postrider.forget_circuit();
comment on trigger forget_circuit on postrider.endpoint is 'Closes the circuit of an endpoint that was resumed, changed or deleted.';

alter table postrider.endpoint add column disabled_at timestamptz;
comment on column postrider.endpoint.disabled_at is 'When Postrider last disabled it.';
comment on column postrider.endpoint.reason is 'Why it is paused or disabled: 410 Gone, or nothing but failures for --disable-after.';

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
              limit 1000) as failures) as consecutive_failures,
       coalesce(c.state, 'closed') as circuit,
       c.probe_at as next_probe_at,
       c.failing_since,
       case when e.state = 'disabled' then e.disabled_at end as disabled_at
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
left join postrider.circuit as c on c.endpoint_no = e.no
where e.state <> 'deleted';
comment on column postrider.endpoint_health.circuit is
    'closed: deliveries are attempted; open: it does not answer, deliveries wait for next_probe_at; half_open: one delivery is being tried. Any 2xx closes it, and so does postrider.resume_endpoint.';
comment on column postrider.endpoint_health.next_probe_at is 'Open: when the next due delivery is tried, not before. Half open: when another dispatcher may try, if this one died.';
comment on column postrider.endpoint_health.failing_since is 'When the first attempt after the last success began; null if the last one succeeded.';
comment on column postrider.endpoint_health.disabled_at is 'When Postrider disabled it; null unless disabled. Deliveries wait for postrider.resume_endpoint.';
comment on function postrider.resume_endpoint(text) is
    'Enables a paused or disabled endpoint and closes its circuit; what waits is delivered. Returns (endpoint_id, state). Raises P0002 for an unknown id.';
