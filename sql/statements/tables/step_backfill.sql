-- does:   goes on with the backfill of an attached table by one batch
-- params: $1 attachment_no int
-- rows:   one: outcome text ('none': it is not running, or another session is at it; 'ahead': fresh events would still wait behind the
--         last batch; 'sent'; 'held': only rows that somebody has locked are left; 'done'; 'failed'); relation text; rows_sent bigint,
--         rows_refused bigint: so far; fault text: why rows were left out, or why it failed; is_news boolean: the fault is another one
--         than the last time. All but the outcome are null for 'none' and 'ahead', fault is null if there is none.
-- locks:  for update on the backfill and for share on the attachment, skipping locked ones; for share on the rows that it sends, skipping
--         locked ones; waits for nothing but a lock on the user's table, 100 ms at most
-- repeat: goes on with the next rows
select s.outcome, s.relation, s.rows_sent, s.rows_refused, s.fault, s.is_news
from postrider.step_backfill($1::int) as s
