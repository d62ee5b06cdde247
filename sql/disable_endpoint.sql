-- does:   gives up on an endpoint: its deliveries wait
-- params: $1 endpoint_no int, $2 reason text
-- rows:   endpoint_id text; none if it was not enabled
-- locks:  the endpoint's row and the installation's
-- repeat: no row
update postrider.endpoint as e
set state = 'disabled', reason = $2, changed_at = now()
where e.no = $1 and e.state = 'enabled'
returning e.id as endpoint_id
