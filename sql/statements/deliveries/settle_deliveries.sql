-- does:   writes the outcomes of attempts: the deliveries, the counts of the endpoints, and the events that are finished with
--         them. Adds a row of attempt where the delivery's row cannot tell everything.
-- params: $1 delivery_ids bigint[], sorted, each once; $2 claim_ids bigint[]; $3 statuses text[] (complete | pending | paced |
--         failed | blocked; paced is pending, and the attempt does not count; blocked is failed, and the delivery stays in its lane);
--         $4 delays_ms bigint[] (until the next attempt; null unless pending); $5 status_codes smallint[]; $6 errors text[]; $7
--         ages_ms bigint[] (since the request began); $8 durations_ms int[]; $9 response_excerpts text[]; $10 are_plain
--         boolean[] (the delivery's row can tell everything): one entry per delivery; $11 claim_ids bigint[]: claims that are
--         finished with this call; $12 skips_locked boolean: leaves locked rows as they are
-- rows:   one: settled bigint, how many; held_up bigint[], deliveries that were left because they or their events are locked
--         (empty unless $12); deliveries whose claims were lost are in neither
-- locks:  deliveries in order of id, then events in order of id; waits for other holders, at most lock_timeout; never waits
--         with $12
-- repeat: settles none, because the claims are gone
with outcome as materialized (
    select u.delivery_id, u.claim_id, u.delay_ms, u.status_code, u.error, u.age_ms, u.duration_ms, u.response_excerpt,
           -- A cast of the text would look each name up.
           case u.status when 'complete' then 'complete'::postrider.status when 'pending' then 'pending' when 'paced' then 'pending'
               when 'failed' then 'failed' when 'blocked' then 'failed' end as status,
           u.status = 'paced' as is_paced,
           u.status in ('pending', 'paced', 'blocked') as stays,
           u.is_plain
    from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::smallint[], $6::text[], $7::bigint[], $8::int[],
                $9::text[], $10::boolean[])
        as u (delivery_id, claim_id, status, delay_ms, status_code, error, age_ms, duration_ms, response_excerpt, is_plain)
), moment as materialized (
    select clock_timestamp() as now
), free as materialized (
    select d.id, d.event_id
    from outcome as o
    join postrider.delivery as d on d.id = o.delivery_id and d.claim_id = o.claim_id
    where $12::boolean
    for update of d skip locked
), free_event as materialized (
    select o.id
    from (select distinct f.event_id from free as f) as f
    join postrider.outbox as o on o.id = f.event_id
    for update of o skip locked
), held_up as materialized (
    select o.delivery_id, o.claim_id
    from outcome as o
    join postrider.delivery as d on d.id = o.delivery_id and d.claim_id = o.claim_id
    where $12
      and not (exists (select from free as f where f.id = d.id)
               and (exists (select from free_event as e where e.id = d.event_id)
                    -- A deleted event needs no lock.
                    or not exists (select from postrider.outbox as gone where gone.id = d.event_id)))
), settled as (
    update postrider.delivery as d
    -- A delivery that was cancelled meanwhile is not tried again.
    set status = case when o.status = 'pending' and d.cancelled_at is not null then 'failed' else o.status end,
        claim_id = null,
        due_at = case when d.cancelled_at is null then (select m.now from moment as m) + o.delay_ms * interval '1 millisecond' end,
        completed_at = case when o.status <> 'pending' or d.cancelled_at is not null then (select m.now from moment as m) end,
        failed_at = case when o.status = 'failed' or (o.status = 'pending' and d.cancelled_at is not null)
            then (select m.now from moment as m) end,
        last_status_code = o.status_code,
        last_error = o.error,
        lane = case when o.stays and d.cancelled_at is null then d.lane end,
        place = case when o.stays and d.cancelled_at is null then d.place end,
        -- It blocks its key from now on (postrider.blocked_keys). A refusal for pace is no failure of the delivery.
        failing_since = case when d.lane is not null and o.status <> 'complete' then case when o.is_paced then d.failing_since
            else coalesce(d.failing_since, (select m.now from moment as m) - coalesce(o.age_ms, 0) * interval '1 millisecond') end end,
        paced = case when o.is_paced then coalesce(d.paced, 0) + 1 else d.paced end,
        -- Only an attempt that also began at once needs no row of attempt.
        first_duration_ms = case when o.is_plain
            and d.created_at > (select m.now from moment as m) - (o.age_ms + 500) * interval '1 millisecond' then o.duration_ms end
    from outcome as o
    where d.id = o.delivery_id
      and d.claim_id = o.claim_id
      and (not $12 or d.id in (select f.id from free as f))
      and (not $12 or d.id not in (select h.delivery_id from held_up as h))
    returning d.id, d.event_id, d.endpoint_no, d.attempts, d.status, o.status_code, o.error, o.age_ms, o.duration_ms,
        o.response_excerpt, d.first_duration_ms
), logged as (
    insert into postrider.attempt
        (delivery_id, started_at, endpoint_no, duration_ms, attempt, status_code, outcome, error, response_excerpt)
    select s.id, (select m.now from moment as m) - s.age_ms * interval '1 millisecond', s.endpoint_no, s.duration_ms, s.attempts,
           s.status_code, s.status, s.error, s.response_excerpt
    from settled as s
    where s.age_ms is not null and s.first_duration_ms is null
), counted as (
    insert into postrider.endpoint_stat (endpoint_no, complete, failed, last_success_at, last_failure_at, failed_attempts)
    select s.endpoint_no,
           count(*) filter (where s.status = 'complete'),
           count(*) filter (where s.status = 'failed'),
           (select m.now from moment as m) - min(s.age_ms) filter (where s.status = 'complete') * interval '1 millisecond',
           (select m.now from moment as m) - min(s.age_ms) filter (where s.status <> 'complete') * interval '1 millisecond',
           count(*) filter (where s.status <> 'complete')
    from settled as s
    where s.age_ms is not null
    group by s.endpoint_no
), finished as (
    select s.event_id, count(*)::int as settled, (count(*) filter (where s.status = 'failed'))::int as failed
    from settled as s
    where s.status <> 'pending'
    group by s.event_id
    order by s.event_id
), events as (
    update postrider.outbox as o
    set open_deliveries = o.open_deliveries - f.settled,
        failed = o.failed + f.failed,
        status = case
            when o.open_deliveries > f.settled then 'in_progress'::postrider.status
            when o.failed + f.failed > 0 then 'failed'
            else 'complete' end,
        completed_at = case when o.open_deliveries = f.settled then (select m.now from moment as m) end
    from finished as f
    where o.id = f.event_id
      -- An event that somebody has settled by hand stays as it is. Impossible counts would keep the whole batch from being written.
      and o.status = 'in_progress'
      and o.open_deliveries >= f.settled
), done as (
    -- A claim that somebody has locked stays. find_orphaned_claims finds it empty later.
    delete from postrider.claim as c
    where c.id in (select f.id from postrider.claim as f where f.id = any ($11::bigint[]) for update skip locked)
      and (not $12 or c.id not in (select h.claim_id from held_up as h))
)
select (select count(*) from settled) as settled,
       array(select h.delivery_id from held_up as h) as held_up
