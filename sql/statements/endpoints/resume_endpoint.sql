-- does:   resumes an endpoint (postrider.resume_endpoint)
-- params: $1 id text
-- rows:   one: endpoint_id, state; raises P0002 for an unknown id
-- locks:  the endpoint's row
-- repeat: resumed again
select r.endpoint_id, r.state from postrider.resume_endpoint($1) as r
