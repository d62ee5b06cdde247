-- does:   counts the rows of a table that meet a condition, before it is attached (postrider.count_rows_to_send)
-- params: $1 relation text, as resolve_table returns it; $2 when_sql text or null; $3 rows_max bigint: rows looked at, at most
-- rows:   one: rows_found bigint, rows_read bigint
-- locks:  none
-- repeat: the same
select c.rows_found, c.rows_read from postrider.count_rows_to_send($1::text::regclass, $2::text, $3::bigint) as c
