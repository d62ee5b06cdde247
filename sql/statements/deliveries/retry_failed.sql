-- does:   retries the failed deliveries of an endpoint (postrider.retry_failed)
-- params: $1 endpoint_id text, $2 since text (a timestamp; null: from the first), $3 up_to int 1..=100000
-- rows:   one: retried bigint (if it equals up_to, call again); raises P0002 for an unknown id
-- locks:  the deliveries, then their events; may wait for a settle of the same event
-- repeat: goes on with the rest
select postrider.retry_failed($1, coalesce($2::text::timestamptz, '-infinity'), $3) as retried
