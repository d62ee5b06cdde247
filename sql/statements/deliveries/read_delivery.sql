-- does:   reads one delivery with its attempts
-- params: $1 delivery_id bigint
-- rows:   row text: a JSON object of a row of delivery_status (id for delivery_id) and attempt_log, the first 1000 attempts in
--         order; no row if there is no such delivery
-- locks:  none
-- repeat: the same
select postrider.readable(to_json(r)::text) as row
from (
    select s.delivery_id as id, s.event_id, s.webhook_id, s.endpoint_id, s.topic, s.key, s.status, s.attempts,
           s.next_attempt_at, s.last_status_code, s.last_error, s.created_at, s.completed_at, s.failed_at, s.cancelled_at,
           s.waits_for, s.next_probe_at,
           coalesce((
               select json_agg(to_json(a) order by a.attempt)
               from (select l.attempt, l.started_at, l.duration_ms, l.status_code, l.error, l.response_excerpt
                     from postrider.attempt_log as l
                     where l.delivery_id = $1::bigint
                     order by l.attempt
                     limit 1000) as a), '[]') as attempt_log
    from postrider.delivery_status as s
    where s.delivery_id = $1) as r
