-- does:   skips the deliveries of a key that fail or wait (postrider.skip_key)
-- params: $1 endpoint_id text, $2 key text, $3 until text (a timestamp; null: now), $4 reason text or null, $5 up_to int 1..=100000
-- rows:   one: skipped bigint (if it equals up_to, call again); raises P0002 for an unknown id
-- locks:  the deliveries, then their events; may wait for a settle of the same event
-- repeat: goes on with the rest
select postrider.skip_key($1, $2, coalesce($3::text::timestamptz, now()), $4, $5) as skipped
