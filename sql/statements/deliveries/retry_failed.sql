-- does:   retries what was given up for an endpoint (postrider.retry_failed)
-- params: $1 endpoint_id text, $2 since text (a timestamp; null: ever), $3 up_to int 1..=100000
-- rows:   one: retried bigint (as many as up_to: go again); raises P0002 for an unknown id
-- locks:  the deliveries, then their events; may wait for a settle of the same event
-- repeat: goes on with what is left
select postrider.retry_failed($1, coalesce($2::text::timestamptz, '-infinity'), $3) as retried
