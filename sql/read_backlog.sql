-- does:   reads what is still to do (postrider.backlog)
-- params: none
-- rows:   one: unrouted, pending, in_progress, failed bigint; oldest_unrouted_at, oldest_due_at text
-- locks:  none
-- repeat: the same
select b.unrouted, b.pending, b.in_progress, b.failed, b.oldest_unrouted_at::text as oldest_unrouted_at,
       b.oldest_due_at::text as oldest_due_at
from postrider.backlog as b
