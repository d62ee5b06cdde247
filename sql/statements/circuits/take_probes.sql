-- does:   takes the right to probe endpoints, with one delivery each. Their circuits are open, their next probes are
--         due, and none of them asked to be left alone until later.
-- params: $1 dispatcher_id bigint; $2 endpoint_nos int[]; $3 lease_ms bigint (afterwards any dispatcher may take the right)
-- rows:   endpoint_no int, failed_probes int; one per right that was taken; order unspecified
-- locks:  the circuits, skipping locked ones; never waits
-- repeat: no rows until a right ends
with free as materialized (
    select c.endpoint_no
    from postrider.circuit as c
    where c.endpoint_no = any ($2::int[]) and c.state <> 'closed' and c.probe_at <= clock_timestamp()
      and (c.held_until is null or c.held_until <= clock_timestamp())
    for update skip locked
)
update postrider.circuit as c
set state = 'half_open',
    changed_at = clock_timestamp(),
    probe_at = clock_timestamp() + $3::bigint * interval '1 millisecond',
    probe_by = $1::bigint
from free
where c.endpoint_no = free.endpoint_no
returning c.endpoint_no, c.failed_probes
