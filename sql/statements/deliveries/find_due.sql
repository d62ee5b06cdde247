-- does:   finds every endpoint with waiting deliveries, and when the first of them is due. Also finds every circuit.
-- params: none
-- rows:   endpoint_no int, delay_ms bigint (0 or less: due now; null on the row of a circuit), endpoint_version bigint; state,
--         failures int, failed_probes int, probe_ms bigint (until probe_at; null while closed), probe_by bigint,
--         failing_ms bigint (since its first failure; null if it is only held), held_ms bigint (until its hold ends; null if it was
--         never held): of a circuit, else null; has_refused boolean: the database refused a claim of some delivery (false on rows of circuits). One row
--         per endpoint with waiting deliveries, by one index descent each, served by delivery_due; and one per circuit.
-- locks:  none
-- repeat: the same
with recursive waiting as (
    (select d.endpoint_no, d.due_at
     from postrider.delivery as d
     where d.due_at is not null
     order by d.endpoint_no, d.due_at
     limit 1)
    union all
    select next.endpoint_no, next.due_at
    from waiting as w
    cross join lateral (
        select d.endpoint_no, d.due_at
        from postrider.delivery as d
        where d.due_at is not null and d.endpoint_no > w.endpoint_no
        order by d.endpoint_no, d.due_at
        limit 1) as next
)
select w.endpoint_no,
       ceil(extract(epoch from least(w.due_at, clock_timestamp() + interval '1 day') - clock_timestamp()) * 1000)::bigint as delay_ms,
       (select v.version from postrider.endpoint_version as v) as endpoint_version,
       null::text as state,
       null::int as failures,
       null::int as failed_probes,
       null::bigint as probe_ms,
       null::bigint as probe_by,
       null::bigint as failing_ms,
       null::bigint as held_ms,
       exists (select from postrider.refused as r where r.stage = 'claim') as has_refused
from waiting as w
union all
select c.endpoint_no,
       null,
       (select v.version from postrider.endpoint_version as v),
       c.state,
       c.failures,
       c.failed_probes,
       ceil(extract(epoch from c.probe_at - clock_timestamp()) * 1000)::bigint,
       c.probe_by,
       (extract(epoch from clock_timestamp() - c.failing_since) * 1000)::bigint,
       ceil(extract(epoch from c.held_until - clock_timestamp()) * 1000)::bigint,
       false
from postrider.circuit as c
