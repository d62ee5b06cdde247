-- does:   reads one event with its deliveries. Leaves out a payload of more than 64 KiB.
-- params: $1 event_id bigint
-- rows:   row text: a JSON object of the event and its delivery_list, the first 1000 in order of id; no row if there is no such
--         event
-- locks:  none
-- repeat: the same
select postrider.readable(to_json(r)::text) as row
from (
    select o.id,
           postrider.webhook_id(i.code, o.id, o.created_at) as webhook_id,
           o.topic,
           o.key,
           o.idempotency_key,
           o.destination,
           (select a.relation::text from postrider.attachment as a
            where a.attachment_no = split_part(o.row_key, '[', 1)::integer) as "table",
           substr(o.row_key, strpos(o.row_key, '['))::json as "row",
           o.deliver_after,
           o.status,
           o.deliveries,
           o.open_deliveries,
           o.failed,
           case when o.deliveries = 0 and o.cancelled_at is null then
               case when o.destination is null then 'topic' else 'destination' end end as reached_nobody,
           o.created_at,
           o.completed_at,
           o.cancelled_at,
           octet_length(o.payload::text) as payload_bytes,
           case when octet_length(o.payload::text) <= 65536 then o.payload end as payload,
           coalesce((
               select json_agg(to_json(d) order by d.id)
               from (select s.delivery_id as id, s.event_id, s.webhook_id, s.endpoint_id, s.topic, s.key, s.status, s.attempts,
                            s.next_attempt_at, s.last_status_code, s.last_error, s.created_at, s.completed_at, s.failed_at,
                            s.cancelled_at, s.waits_for, s.next_probe_at
                     from postrider.delivery_status as s
                     where s.event_id = $1::bigint
                     order by s.delivery_id
                     limit 1000) as d), '[]') as delivery_list
    from postrider.outbox as o
    cross join postrider.installation as i
    where o.id = $1) as r
