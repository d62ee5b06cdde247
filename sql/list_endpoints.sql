-- does:   reads endpoints with their health, without their secrets
-- params: $1 id text (null: all)
-- rows:   endpoint_id, url, topics text[], headers text (a JSON object), max_in_flight int, rate_limit, timeout_ms bigint,
--         retry_schedule_ms bigint[], state, reason, pending bigint, in_progress bigint, failed_24h bigint,
--         complete_24h bigint, oldest_pending_at text, last_success_at text, last_failure_at text,
--         consecutive_failures bigint; by id
-- locks:  none
-- repeat: the same
select e.id as endpoint_id,
       e.url,
       e.topics,
       e.headers::text as headers,
       e.max_in_flight,
       e.rate_limit,
       (extract(epoch from e.timeout) * 1000)::bigint as timeout_ms,
       (select array_agg((extract(epoch from s.delay) * 1000)::bigint order by s.position)
        from unnest(e.retry_schedule) with ordinality as s (delay, position)) as retry_schedule_ms,
       e.state,
       e.reason,
       h.pending,
       h.in_progress,
       h.failed_24h,
       h.complete_24h,
       h.oldest_pending_at::text as oldest_pending_at,
       h.last_success_at::text as last_success_at,
       h.last_failure_at::text as last_failure_at,
       h.consecutive_failures
from postrider.endpoint as e
join postrider.endpoint_health as h on h.endpoint_id = e.id
where $1::text is null or e.id = $1
order by e.id
