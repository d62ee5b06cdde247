-- does:   locks the first unrouted events of a stretch of the order, for the transaction that routes them
-- params: $1 from_xid text (an xid8), $2 from_id bigint, $3 until_xid text (an xid8), $4 until_id bigint: both ends are
--         included; $5 batch_max bigint 1..=1000; $6 passes_over boolean: leaves out events that the database refused (false if
--         there are none); $7 only_destination text or null: only events for this endpoint; $8 leaves_keyed boolean: leaves out
--         events with a key (claim_keyed_events takes those)
-- rows:   one at least: next_xid text (an xid8): no transaction from there on was looked at; and of each event: id (null: there is
--         none), created_xid text, topic, key_hash bigint (null: no key), destination, delay_ms (bigint, null: at once), payload_bytes int, endpoint_version
--         bigint; webhook_id, headers, payload, created_at, since, now: as in load_events; webhook_id and payload are null
--         where the payload is not small; in order of (created_xid, id), at most batch_max; served by outbox_by_transaction
-- locks:  for update on the events, skipping locked ones; never waits
-- repeat: in another transaction: the same rows, unless routed meanwhile
with claimed as materialized (
    select o.id, o.created_xid, o.created_at, o.topic, o.key, o.destination, o.deliver_after, o.headers,
           case when postrider.is_payload_small(o.payload, o.payload_bytes) then o.payload end as payload,
           postrider.payload_size(o.payload, o.payload_bytes) as payload_bytes
    from postrider.outbox as o
    where (o.created_xid, o.id) >= ($1::text::xid8, $2::bigint)
      and (o.created_xid, o.id) <= ($3::text::xid8, $4::bigint)
      and o.status = 'pending'
      and (not $6::boolean or not exists (
            select from postrider.refused as r where r.stage = 'route' and r.id = o.id))
      and ($7::text is null or o.destination = $7)
      and (not $8::boolean or o.key is null)
    order by o.created_xid, o.id
    limit $5::bigint
    for update skip locked
)
select c.id,
       c.created_xid::text as created_xid,
       c.topic,
       hashtextextended(c.key, 0) as key_hash,
       c.destination,
       -- Callers add the clock's progress since this statement to this time, so it must not be later.
       (extract(epoch from case when c.deliver_after > '294275-01-01' then '294275-01-01' else c.deliver_after end
                           - clock_timestamp()) * 1000)::bigint as delay_ms,
       c.payload_bytes,
       (select v.version from postrider.endpoint_version as v) as endpoint_version,
       case when c.payload is not null then
           postrider.webhook_id((select i.code from postrider.installation as i), c.id, c.created_at) end as webhook_id,
       c.headers::text as headers,
       c.payload::text as payload,
       c.created_at,
       greatest(c.created_at, c.deliver_after) as since,
       clock_timestamp() as now,
       pg_snapshot_xmax(pg_current_snapshot())::text as next_xid
from (select) as one
left join claimed as c on true
