-- does:   finds the stretch of the order of transactions where restored events of another cluster may stand among ours
-- params: $1 kept_ms bigint: a restore that was noticed longer ago does not count, because its events are deleted by now
-- rows:   one: from_xid text, until_xid text (xid8s, both included); both null if there is no such stretch; served by
--         outbox_by_transaction
-- locks:  none
-- repeat: the same, or less
select least(noted.from_xid, ahead.from_xid)::text as from_xid,
       greatest(noted.until_xid, ahead.until_xid)::text as until_xid
from (select) as one
left join (
    select '0'::xid8 as from_xid, i.restored_until as until_xid
    from postrider.installation as i
    where i.restored_until > '0' and i.restored_at > now() - $1::bigint * interval '1 millisecond') as noted on true
left join lateral (
    -- Transactions of this cluster have not reached this id yet.
    select pg_snapshot_xmax(pg_current_snapshot()) as from_xid, newest.created_xid as until_xid
    from (select o.created_xid from postrider.outbox as o order by o.created_xid desc, o.id desc limit 1) as newest
    where newest.created_xid >= pg_snapshot_xmax(pg_current_snapshot())) as ahead on true
