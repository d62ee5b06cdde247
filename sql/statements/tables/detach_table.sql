-- does:   detaches a table (postrider.detach_table): its triggers and the functions behind them go
-- params: $1 relation text, as resolve_table returns it
-- rows:   one: tables bigint, always 1; raises P0002 if it is not attached
-- locks:  the table, for a moment: no writer of it waits for more than a second; if others hold it, it is tried for a minute
-- repeat: P0002: it is not attached
select count(*) as tables from postrider.detach_table($1::text::regclass) as done
