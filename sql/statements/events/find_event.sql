-- does:   says whether there is an event with an idempotency key; a producer may ask, too
-- params: $1 idempotency_key text
-- rows:   one: is_known boolean
-- locks:  none
-- repeat: the same
select e.event_id is not null as is_known
from postrider.event_with_key($1) as e
