-- does:   claims due deliveries, for each endpoint at most as many as it has free slots. The earliest due come first. An
--         endpoint that this dispatcher probes gives its latest due one. An endpoint whose circuit is not closed gives none
--         otherwise. An endpoint that asked to be left alone gives none until then. With the head of a lane it claims a run of what
--         follows it there, which waits for the head and is not due.
-- params: $1 dispatcher_id bigint; $2 endpoint_nos int[], $3 slots bigint[], $4 floors_us bigint[] (due at or after this many
--         microseconds of the epoch; 0: all): one entry per endpoint; $5 passes_over boolean: leaves out deliveries that the
--         database refused and that are not due for another try (false if there are none); $6 runs_max bigint[] 0..=1000: the
--         most that a head takes along, one entry per endpoint; $7 behind_max bigint: the most that all of them take along
-- rows:   delivery_id, event_id, endpoint_no, attempt int, attempts_before int, paced int, claim_id, due_us bigint, payload_bytes int
--         (null if the event is gone), endpoint_version bigint, head_id bigint (the head that took it along, or
--         itself; null: it is in no lane), place bigint (null: none), is_behind boolean (taken along); order unspecified;
--         served by delivery_due and delivery_by_lane
-- locks:  for update on the deliveries, skipping locked ones; key share on the dispatcher's row; never waits
-- repeat: other deliveries
with asked as materialized (
    select a.endpoint_no, a.slots, a.run_max, to_timestamp(a.floor_us / 1000000.0) as floor, c.probe_by is not null as is_probe
    from unnest($2::int[], $3::bigint[], $4::bigint[], $6::bigint[]) as a (endpoint_no, slots, floor_us, run_max)
    join postrider.endpoint as e on e.endpoint_no = a.endpoint_no and e.state = 'enabled'
    left join postrider.endpoint as t on t.endpoint_no = e.template_no
    left join postrider.circuit as c on c.endpoint_no = a.endpoint_no and (c.state <> 'closed' or c.held_until > clock_timestamp())
    where coalesce(t.state, 'enabled') = 'enabled'
      and (c.endpoint_no is null or (c.probe_by = $1::bigint and coalesce(c.held_until <= clock_timestamp(), true)))
), in_turn as materialized (
    select due.id, due.due_at, due.endpoint_no, due.lane, due.place, a.run_max
    from asked as a
    cross join lateral (
        select d.id, d.due_at, d.endpoint_no, d.lane, d.place
        from postrider.delivery as d
        where d.endpoint_no = a.endpoint_no
          and d.due_at >= a.floor
          -- A volatile function such as clock_timestamp() itself cannot end an index scan.
          and d.due_at <= (select clock_timestamp())
          and d.cancelled_at is null
          and (not $5::boolean or not exists (
                select from postrider.refused as r
                where r.stage = 'claim' and r.id = d.id and r.retry_at > (select clock_timestamp())))
        order by d.due_at, d.id
        limit a.slots
        for update skip locked) as due
    where not a.is_probe
), probe as materialized (
    -- A probe takes the latest, because an earlier one may be why the circuit is open. It does not show how far the others are done.
    select due.id, to_timestamp(0) as due_at
    from asked as a
    cross join lateral (
        select d.id, d.due_at
        from postrider.delivery as d
        where d.endpoint_no = a.endpoint_no
          and d.due_at <= (select clock_timestamp())
          and d.cancelled_at is null
          and (not $5 or not exists (
                select from postrider.refused as r
                where r.stage = 'claim' and r.id = d.id and r.retry_at > (select clock_timestamp())))
        order by d.due_at desc, d.id desc
        limit least(a.slots, 1)
        for update skip locked) as due
    where a.is_probe
), behind as materialized (
    -- The deliveries behind each head, in order. A run ends before the first that must not be sent yet.
    select next.id, next.head_id, next.nth, next.is_fit
    from (select t.id, t.endpoint_no, t.lane, t.place, least(t.run_max, $7::bigint / count(*) over ()) as run_max
          from in_turn as t where t.lane is not null and t.run_max > 0) as head
    cross join lateral (
        select f.id, head.id as head_id, row_number() over (order by f.place) as nth,
               f.status = 'pending' and f.due_at is null and f.cancelled_at is null
               and (o.deliver_after is null or o.deliver_after <= (select clock_timestamp()))
               and (not $5 or not exists (
                     select from postrider.refused as r
                     where r.stage = 'claim' and r.id = f.id and r.retry_at > (select clock_timestamp()))) as is_fit
        from (select d.id, d.event_id, d.place, d.status, d.due_at, d.cancelled_at
              from postrider.delivery as d
              where d.endpoint_no = head.endpoint_no and d.lane = head.lane and d.place > head.place
              order by d.endpoint_no, d.lane, d.place
              limit head.run_max) as f
        left join postrider.outbox as o on o.id = f.event_id) as next
), free as materialized (
    select d.id, b.head_id, b.nth
    from behind as b
    join postrider.delivery as d on d.id = b.id
    where b.is_fit and d.status = 'pending' and d.due_at is null and d.lane is not null
    for update of d skip locked
), run as materialized (
    -- A locked one ends the run, too: nothing passes it.
    select f.id, f.head_id
    from (select f.id, f.head_id, f.nth, row_number() over (partition by f.head_id order by f.nth) as nth_free from free as f) as f
    where f.nth_free = f.nth
), picked as materialized (
    select t.id, t.due_at, t.id as head_id, false as is_behind from in_turn as t
    union all
    select p.id, p.due_at, p.id, false from probe as p
    union all
    -- They do not show how far the others are done.
    select r.id, to_timestamp(0), r.head_id, true from run as r
), new_claim as materialized (
    select nextval('postrider.claim_id_seq') as id
    where exists (select from picked)
), claimed as (
    update postrider.delivery as d
    set status = 'in_progress',
        attempts = d.attempts + 1,
        claim_id = (select c.id from new_claim as c),
        due_at = null
    from picked as p
    where d.id = p.id
    returning d.id, d.event_id, d.endpoint_no, d.attempts, d.attempts_before, d.paced, d.claim_id, p.due_at,
        case when d.lane is not null then p.head_id end as head_id, d.place, p.is_behind
), held as (
    insert into postrider.claim (id, dispatcher_id, delivery_ids) overriding system value
    select (select c.id from new_claim as c), $1::bigint, array_agg(c.id)
    from claimed as c
    having count(*) > 0
)
select c.id as delivery_id,
       c.event_id,
       c.endpoint_no,
       c.attempts as attempt,
       coalesce(c.attempts_before, 0) as attempts_before,
       coalesce(c.paced, 0) as paced,
       c.claim_id,
       (extract(epoch from c.due_at) * 1000000)::bigint as due_us,
       postrider.payload_size(o.payload, o.payload_bytes) as payload_bytes,
       (select v.version from postrider.endpoint_version as v) as endpoint_version,
       c.head_id,
       c.place,
       c.is_behind
from claimed as c
left join postrider.outbox as o on o.id = c.event_id
