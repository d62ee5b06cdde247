-- does:   makes the next probe of an endpoint whose circuit is open due at once, because a user asked for an attempt
-- params: $1 endpoint_id text
-- rows:   none
-- locks:  the circuit's row
-- repeat: changes nothing more
update postrider.circuit as c
set probe_at = least(c.probe_at, clock_timestamp())
from postrider.endpoint as e
where e.id = $1
  and e.state = 'enabled'
  and c.endpoint_no = e.endpoint_no
  and c.state = 'open'
