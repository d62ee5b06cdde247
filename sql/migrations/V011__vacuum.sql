-- why: a vacuum after every 5,000 dead rows costs more the longer the history is: while it spares the indexes (up to two pages
--      in a hundred with dead entries), it reads all these pages again each time. With two rows in a hundred it goes
--      through pages and indexes once: at 3 million events 5 us of server CPU per event instead of 25.
--      To cut off the end of a table, vacuum locks everybody out for a moment, here and on standbys; under steady load the
--      table grows again at once. What was deleted is room for what comes; vacuum (truncate) still gives it back.
-- old code: survives.

alter table postrider.outbox set (autovacuum_vacuum_scale_factor = 0.02, vacuum_truncate = off, toast.vacuum_truncate = off);
alter table postrider.delivery set (autovacuum_vacuum_scale_factor = 0.02, vacuum_truncate = off);
alter table postrider.attempt set (vacuum_truncate = off);
