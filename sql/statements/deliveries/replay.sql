-- does:   sends events to an endpoint again (postrider.replay)
-- params: $1 endpoint_id text, $2 since text (a timestamp), $3 until text (a timestamp; null: now), $4 topics text[] or null
--         (the endpoint's), $5 after_event_id bigint (0: from the first), $6 up_to int 1..=100000, $7 dry_run boolean
-- rows:   one: replayed bigint, next_after bigint (null if nothing is left; else the next call's $5); raises P0002 for an
--         unknown id
-- locks:  the deliveries, then their events; may wait for a settle of the same event
-- repeat: replays deliveries again that were settled meanwhile
select r.replayed, r.next_after
from postrider.replay($1, $2::text::timestamptz, coalesce($3::text::timestamptz, now()), $4, $5, $6, $7) as r
