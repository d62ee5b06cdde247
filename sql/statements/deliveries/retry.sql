-- does:   retries a failed or waiting delivery now (postrider.retry)
-- params: $1 delivery_id bigint
-- rows:   one: status text; raises P0002 for an unknown id, 55000 if it is complete or in progress
-- locks:  the delivery, then its event; may wait for a settle of it
-- repeat: makes it due now again
select r.status::text as status from postrider.retry($1) as r
