-- does:   adds a running dispatcher and starts its lease
-- params: $1 host text, $2 version text, $3 lease_ms bigint, $4 wake_mode text (notify | poll | sleep), $5 wake_reason text or null; $6
--         only_endpoint text or null
-- rows:   one: dispatcher_id bigint
-- locks:  none that others wait for
-- repeat: adds another dispatcher
insert into postrider.dispatcher (host, version, lease_until, wake_mode, wake_reason, only_endpoint)
values ($1, $2, clock_timestamp() + $3::bigint * interval '1 millisecond', $4, $5, $6)
returning id as dispatcher_id
