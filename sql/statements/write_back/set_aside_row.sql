-- does:   puts off a row whose status cannot be written: after a second, and each time twice as long, up to an hour
-- params: $1 id bigint: an entry of row_due
-- rows:   none
-- locks:  for update on the entry, unless it is locked
-- repeat: counts another try
with entry as materialized (
    select d.id from postrider.row_due as d where d.id = $1 for update skip locked
)
update postrider.row_due as d
set tries = d.tries + 1,
    due_at = clock_timestamp() + least(interval '1 second' * 2 ^ least(d.tries, 20), interval '1 hour') * (0.75 + random() / 2)
from entry as e
where d.id = e.id
