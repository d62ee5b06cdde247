-- does:   cancels an event (postrider.cancel)
-- params: $1 event_id bigint
-- rows:   one: row text: a JSON object of the columns below; raises P0002 for an unknown id
-- locks:  the event's deliveries, then the event; may wait for a settle or a route of it
-- repeat: cancels nothing more
select to_json(r)::text as row
from (select c.event_id as id, c.status, c.cancelled, c.under_way from postrider.cancel($1) as c) as r
