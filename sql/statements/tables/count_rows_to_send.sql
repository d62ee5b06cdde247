-- does:   counts the rows of a table that meet a condition, before it is attached (postrider.count_rows_to_send)
-- params: $1 relation text, as resolve_table returns it; $2 when_sql text or null; $3 rows_max bigint: rows looked at, at most
-- rows:   one: found bigint, looked_at bigint
-- locks:  none
-- repeat: the same
select c.found, c.looked_at from postrider.count_rows_to_send($1::text::regclass, $2::text, $3::bigint) as c
