-- does:   reads the remaining work (postrider.backlog)
-- params: none
-- rows:   one: row text: a JSON object of the columns below
-- locks:  none
-- repeat: the same
select to_json(r)::text as row
from (select b.unrouted, b.pending, b.in_progress, b.failed, b.oldest_unrouted_at, b.oldest_due_at,
             b.unmatched_24h, b.unknown_destination_24h
      from postrider.backlog as b) as r
