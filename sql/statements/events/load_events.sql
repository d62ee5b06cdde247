-- does:   reads the parts of events that an attempt sends
-- params: $1 event_ids bigint[], each once
-- rows:   id, webhook_id, topic, headers text (a JSON object, may be null), payload text (as inserted), created_at timestamptz,
--         since timestamptz (when its transaction began, or deliver_after if that is later), now timestamptz; order
--         unspecified; a deleted event has no row
-- locks:  none
-- repeat: the same, but older
select o.id,
       postrider.webhook_id((select i.code from postrider.installation as i), o.id, o.created_at) as webhook_id,
       o.topic,
       o.headers::text as headers,
       o.payload::text as payload,
       o.created_at,
       greatest(o.created_at, o.deliver_after) as since,
       clock_timestamp() as now
from postrider.outbox as o
where o.id = any ($1::bigint[])
