-- does:   deletes endpoints of templates that had no delivery for long (postrider.forget_children)
-- params: $1 idle_ms bigint
-- rows:   one: forgotten bigint (if it is 1000, call again)
-- locks:  the rows deleted, skipping locked ones; never waits
-- repeat: changes nothing
select postrider.forget_children(now() - $1::bigint * interval '1 millisecond') as forgotten
