-- does:   pauses an endpoint (postrider.pause_endpoint)
-- params: $1 id text, $2 reason text or null
-- rows:   one: endpoint_id, state, reason; raises P0002 for an unknown id
-- locks:  the endpoint's row
-- repeat: paused again
select p.endpoint_id, p.state, p.reason from postrider.pause_endpoint($1, $2) as p
