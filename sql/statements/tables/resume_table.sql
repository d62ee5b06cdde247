-- does:   resumes a paused table (postrider.resume_table)
-- params: $1 relation text, as resolve_table returns it; $2 backfill boolean: its rows are sent, too
-- rows:   one: tables bigint, always 1; raises P0002 if it is not attached
-- locks:  the row of the attachment; with backfill the table, for a moment: no writer of it waits for more than a second
-- repeat: active again
select count(*) as tables from postrider.resume_table($1::text::regclass, $2::boolean) as done
