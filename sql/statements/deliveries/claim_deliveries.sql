-- does:   claims due deliveries, for each endpoint at most as many as it has free slots. The earliest due come first. An
--         endpoint that this dispatcher probes gives its latest due one. An endpoint whose circuit is not closed gives none
--         otherwise. An endpoint that asked to be left alone gives none until then.
-- params: $1 dispatcher_id bigint; $2 endpoint_nos int[], $3 slots bigint[], $4 floors_us bigint[] (due at or after this many
--         microseconds of the epoch; 0: all): one entry per endpoint; $5 passes_over boolean: leaves out deliveries that the
--         database refused and that are not due for another try (false if there are none)
-- rows:   delivery_id, event_id, endpoint_no, attempt int, attempts_before int, paced int, claim_id, due_us bigint, payload_bytes int
--         (null if the event is gone), endpoint_version bigint; order unspecified; served by delivery_due
-- locks:  for update on the deliveries, skipping locked ones; key share on the dispatcher's row; never waits
-- repeat: other deliveries
with asked as materialized (
    select a.endpoint_no, a.slots, to_timestamp(a.floor_us / 1000000.0) as floor, c.probe_by is not null as is_probe
    from unnest($2::int[], $3::bigint[], $4::bigint[]) as a (endpoint_no, slots, floor_us)
    join postrider.endpoint as e on e.endpoint_no = a.endpoint_no and e.state = 'enabled'
    left join postrider.endpoint as t on t.endpoint_no = e.template_no
    left join postrider.circuit as c on c.endpoint_no = a.endpoint_no and (c.state <> 'closed' or c.held_until > clock_timestamp())
    where coalesce(t.state, 'enabled') = 'enabled'
      and (c.endpoint_no is null or (c.probe_by = $1::bigint and coalesce(c.held_until <= clock_timestamp(), true)))
), in_turn as materialized (
    select due.id, due.due_at
    from asked as a
    cross join lateral (
        select d.id, d.due_at
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
), picked as materialized (
    select t.id, t.due_at from in_turn as t
    union all
    select p.id, p.due_at from probe as p
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
    returning d.id, d.event_id, d.endpoint_no, d.attempts, d.attempts_before, d.paced, d.claim_id, p.due_at
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
       (select v.version from postrider.endpoint_version as v) as endpoint_version
from claimed as c
left join postrider.outbox as o on o.id = c.event_id
