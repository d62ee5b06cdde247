-- does:   notes that an attempt on an endpoint succeeded: it does not fail any more, and its circuit is closed
-- params: $1 endpoint_no int
-- rows:   state: what its circuit was; none if nothing was on record
-- locks:  the circuit's row
-- repeat: no row
delete from postrider.circuit as c
where c.endpoint_no = $1::int
returning c.state
