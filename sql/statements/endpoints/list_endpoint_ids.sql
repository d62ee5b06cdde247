-- does:   reads the ids of endpoints
-- params: $1 rows_max bigint 1..=100000
-- rows:   id text; by id (index endpoint_by_id)
-- locks:  none
-- repeat: the same
select e.id
from postrider.endpoint as e
where e.state <> 'deleted'
order by e.id
limit $1
