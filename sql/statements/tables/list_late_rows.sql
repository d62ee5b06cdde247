-- does:   measures how late the statuses of attached tables are: changes of status that are not written into their rows, by table
-- params: none
-- rows:   relation text, due bigint: changes that wait; late_ms bigint: age of the first; refused bigint: of those, how many could not be
--         written the last time; by relation
-- locks:  none
-- repeat: measures again
select a.relation::text as relation,
       count(*) as due,
       greatest(extract(epoch from clock_timestamp() - min(d.noted_at)) * 1000, 0)::bigint as late_ms,
       count(*) filter (where d.tries > 0) as refused
from postrider.row_due as d
join postrider.attachment as a on a.attachment_no = d.attachment_no
group by a.relation
order by 1
