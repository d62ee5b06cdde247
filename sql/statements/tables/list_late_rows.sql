-- does:   measures how late the statuses of attached tables are: rows whose status is due, by table
-- params: none
-- rows:   relation text, due bigint: rows that wait; late_ms bigint: how long the first has been due, 0 if none is; refused bigint: rows
--         whose status could not be written the last time; by relation
-- locks:  none
-- repeat: measures again
select a.relation::text as relation,
       count(*) as due,
       greatest(extract(epoch from clock_timestamp() - min(d.due_at)) * 1000, 0)::bigint as late_ms,
       count(*) filter (where d.tries > 0) as refused
from postrider.row_due as d
join postrider.attachment as a on a.attachment_no = split_part(d.row_key, '[', 1)::integer
group by a.relation
order by 1
