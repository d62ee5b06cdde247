-- does:   pauses an attached table (postrider.pause_table): changes are not heard until it is resumed
-- params: $1 relation text, as resolve_table returns it; $2 reason text or null
-- rows:   one: tables bigint, always 1; raises P0002 if it is not attached
-- locks:  the row of the attachment
-- repeat: paused again
select count(*) as tables from postrider.pause_table($1::text::regclass, $2::text) as done
