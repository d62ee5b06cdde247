-- does:   locks events with a key, for the transaction that routes them. Only one transaction at a time routes such events: while
--         another one does, this locks nothing.
-- params: $1 ids bigint[]: events that find_keyed found; $2 passes_over boolean: holds back events that the database refused
-- rows:   one at least: is_alone boolean (no other transaction routes such events); and of each event that is unrouted: is_held boolean
--         (it is not claimed, because somebody has locked it, or the database refused it); id (null: there is none), key_hash bigint, and the
--         columns of claim_events (null where is_held); order unspecified; served by the primary key
-- locks:  for update on the events, skipping locked ones; pg_try_advisory_xact_lock(postrider.order_key()); never waits
-- repeat: in another transaction: the same rows, unless routed meanwhile
with alone as materialized (
    select pg_try_advisory_xact_lock(postrider.order_key()) as is_alone
), unrouted as materialized (
    select o.id, o.key
    from postrider.outbox as o
    where (select a.is_alone from alone as a)
      and o.id = any ($1::bigint[])
      and o.status = 'pending'
), claimed as materialized (
    select o.id, u.key, o.created_xid, o.created_at, o.topic, o.destination, o.deliver_after, o.headers,
           case when postrider.is_payload_small(o.payload, o.payload_bytes) then o.payload end as payload,
           postrider.payload_size(o.payload, o.payload_bytes) as payload_bytes
    from unrouted as u
    join postrider.outbox as o on o.id = u.id
    where o.status = 'pending'
      and (not $2::boolean or not exists (
            select from postrider.refused as r where r.stage = 'route' and r.id = o.id))
    for update of o skip locked
)
select a.is_alone,
       c.created_xid is null as is_held,
       c.id,
       hashtextextended(c.key, 0) as key_hash,
       c.created_xid::text as created_xid,
       c.topic,
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
       clock_timestamp() as now
from alone as a
left join (
    select c.* from claimed as c
    union all
    select u.id, u.key, null, null, null, null, null, null, null, null
    from unrouted as u
    where u.id not in (select c.id from claimed as c)) as c on true
