-- does:   lists attached tables that are broken: a column that is used is gone, a trigger does not fire on it, or its function is gone
-- params: none
-- rows:   relation text, reason text; by name
-- locks:  none
-- repeat: the same
select t.relation::text as relation, coalesce(t.last_error, 'unknown') as reason
from postrider.attached_table as t
where t.state = 'broken'
order by 1
