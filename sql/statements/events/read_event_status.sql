-- does:   reads how far an event is
-- params: $1 event_id bigint
-- rows:   status text; none: there is no such event
-- locks:  none
-- repeat: the same
select o.status::text as status from postrider.outbox as o where o.id = $1
