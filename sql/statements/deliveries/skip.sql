-- does:   gives up a delivery that waits, or that failed and holds up its key (postrider.skip)
-- params: $1 delivery_id bigint, $2 reason text
-- rows:   one: status text; raises P0002 for an unknown id, 55000 if it is complete or in progress, 22023 without a reason
-- locks:  the delivery, then its event; may wait for a settle of it
-- repeat: changes nothing
select s.status::text as status from postrider.skip($1, $2) as s
