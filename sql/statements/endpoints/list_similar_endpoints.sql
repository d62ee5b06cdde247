-- does:   lists ids of endpoints about as long as a misspelt one, for a guess at which one was meant
-- params: $1 endpoint_id text; $2 endpoints_max bigint 1..=10000
-- rows:   endpoint_id text, at most endpoints_max, in order of the id; no index serves the lengths
-- locks:  none
-- repeat: the same
select e.id as endpoint_id
from postrider.endpoint as e
where e.state <> 'deleted' and e.template_no is null
  and abs(char_length(e.id) - char_length($1)) <= greatest(char_length($1) / 4, 1)
order by e.id
limit $2
