-- does:   measures what is still to do (postrider.backlog)
-- params: none
-- rows:   one: unrouted, pending, in_progress, failed bigint; oldest_unrouted_age_ms, oldest_due_age_ms bigint, 0 if there
--         is none or if it is not due yet
-- locks:  none
-- repeat: measures again
select b.unrouted, b.pending, b.in_progress, b.failed,
       coalesce(greatest(extract(epoch from clock_timestamp() - b.oldest_unrouted_at) * 1000, 0), 0)::bigint
           as oldest_unrouted_age_ms,
       coalesce(greatest(extract(epoch from clock_timestamp() - b.oldest_due_at) * 1000, 0), 0)::bigint
           as oldest_due_age_ms
from postrider.backlog as b
