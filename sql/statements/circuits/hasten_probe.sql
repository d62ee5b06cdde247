-- does:   makes the next probe of an endpoint whose circuit is open due at once, and ends a hold, because a user asked for an attempt
-- params: $1 endpoint_id text
-- rows:   none
-- locks:  the circuit's row
-- repeat: changes nothing more
update postrider.circuit as c
set probe_at = case when c.state = 'open' then least(c.probe_at, clock_timestamp()) else c.probe_at end,
    held_until = null
from postrider.endpoint as e
where e.id = $1
  and e.state = 'enabled'
  and c.endpoint_no = e.endpoint_no
  and (c.state = 'open' or c.held_until is not null)
