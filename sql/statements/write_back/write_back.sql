-- does:   writes the status of the newest event into rows of an attached table (postrider.write_back)
-- params: $1 attachment_no int; $2 ids bigint[]: entries of row_due, at most 1000
-- rows:   one: taken int: entries that nobody else looks at; written int: rows that got another status; held_up int: rows that somebody
--         has locked, which are due again soon; is_late boolean: one of the entries had failed before, and none was locked; obstacle text: nothing was done,
--         and this has to be done first (null: nothing has)
-- locks:  for update on the entries and for no key update on the rows (for update where they are deleted), skipping locked ones; waits for
--         locks on the whole table, and for what its constraints and triggers wait for, 50 ms at most
-- repeat: finds no entries
select w.taken, w.written, w.held_up, w.is_late, w.obstacle from postrider.write_back($1::int, $2::bigint[]) as w
