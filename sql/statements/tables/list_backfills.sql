-- does:   lists the backfills of attached tables that may go on now
-- params: none
-- rows:   attachment_no int; 100 at most, those that waited longest first
-- locks:  none
-- repeat: the same
select b.attachment_no
from postrider.backfill as b
join postrider.attachment as a on a.attachment_no = b.attachment_no
where b.state = 'running'
  and a.state = 'active'
  and coalesce(b.retry_at <= clock_timestamp(), true)
order by b.sent_at nulls first, b.attachment_no
limit 100
