-- does:   reads the status of an event
-- params: $1 event_id bigint
-- rows:   status text; no row if there is no such event
-- locks:  none
-- repeat: the same
select o.status::text as status from postrider.outbox as o where o.id = $1
