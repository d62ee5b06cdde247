-- does:   renews a dispatcher's lease and records whether it leads, its wake mode and the reason
-- params: $1 dispatcher_id bigint, $2 lease_ms bigint, $3 is_leader boolean, $4 wake_mode text, $5 wake_reason text or null
-- rows:   live_dispatchers bigint (this one included, and not those that serve one endpoint alone), earlier_dispatchers bigint (those of them with a lower id), now_ms
--         bigint (milliseconds of the epoch, the database's clock); no row if the lease was lost and its claims were taken back
-- locks:  the dispatcher's row; waits for a rescue of it
-- repeat: renews again
with renewed as (
    update postrider.dispatcher as d
    set lease_until = clock_timestamp() + $2::bigint * interval '1 millisecond', is_leader = $3, wake_mode = $4, wake_reason = $5,
        last_seen_at = clock_timestamp()
    where d.id = $1
    returning d.id, d.only_endpoint
)
select live.dispatchers as live_dispatchers,
       live.earlier as earlier_dispatchers,
       (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms
from renewed as r
cross join lateral (
    select count(*) as dispatchers, count(*) filter (where d.id < r.id) as earlier
    from postrider.dispatcher as d
    where d.id = r.id
       -- A dispatcher for one endpoint has no part of the others, and its endpoint is nobody else's.
       or (d.lease_until > clock_timestamp() and d.only_endpoint is null and r.only_endpoint is null)) as live
