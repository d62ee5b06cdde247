-- does:   retries a failed or waiting delivery now (postrider.retry)
-- params: $1 delivery_id bigint
-- rows:   one: status text, is_behind boolean (others of its key come first); raises P0002 for an unknown id, 55000 if it is complete or
--         in progress, or waits for another one of its key
-- locks:  the delivery, then its event; may wait for a settle of it
-- repeat: makes it due now again
select r.status::text as status, r.is_behind from postrider.retry($1) as r
