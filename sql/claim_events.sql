-- does:   locks the first unrouted events at or above a floor, for the transaction that routes them
-- params: $1 floor_xid text (an xid8), $2 floor_id bigint, $3 batch_max bigint 1..=1000
-- rows:   id, created_xid text, topic, destination, delay_ms (bigint, null: at once), payload_bytes int,
--         endpoint_version bigint; webhook_id, headers, payload, created_at, since, now: as in load_events; webhook_id and payload are null
--         where the payload is not small; in order of (created_xid, id), at most batch_max; served by outbox_by_transaction
-- locks:  for update on the events, skipping locked ones; never waits
-- repeat: in another transaction: the same rows, unless routed meanwhile
with claimed as materialized (
    select o.id, o.created_xid, o.created_at, o.topic, o.destination, o.deliver_after, o.headers,
           -- Not looked into where it is large; compressed, it may be much larger than what is stored.
           case when pg_column_size(o.payload) < 2000 and pg_column_compression(o.payload) is null then o.payload end as payload,
           case when pg_column_size(o.payload) < 2000 and pg_column_compression(o.payload) is null then pg_column_size(o.payload)
               else octet_length(o.payload::text) end as payload_bytes
    from postrider.outbox as o
    where (o.created_xid, o.id) >= ($1::text::xid8, $2::bigint)
      and o.status = 'pending'
    order by o.created_xid, o.id
    limit $3
    for update skip locked
)
select c.id,
       c.created_xid::text as created_xid,
       c.topic,
       c.destination,
       -- No later than a time to which the clock's progress until the next statement can be added.
       (extract(epoch from case when c.deliver_after > '294275-01-01' then '294275-01-01' else c.deliver_after end
                           - clock_timestamp()) * 1000)::bigint as delay_ms,
       c.payload_bytes,
       (select i.endpoint_version from postrider.installation as i) as endpoint_version,
       case when c.payload is not null then
           postrider.webhook_id((select i.code from postrider.installation as i), c.id, c.created_at) end as webhook_id,
       c.headers::text as headers,
       c.payload::text as payload,
       c.created_at,
       greatest(c.created_at, c.deliver_after) as since,
       clock_timestamp() as now
from claimed as c
