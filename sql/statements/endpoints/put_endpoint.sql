-- does:   creates or replaces an endpoint (postrider.write_endpoint)
-- params: $1 id, $2 settings text (a JSON object): the arguments of postrider.put_endpoint by name, durations as texts; a name
--         that is left out has its default
-- rows:   one: endpoint_id, result (created | changed | unchanged), new_secret (when it was created and no secret was named)
-- locks:  the endpoint's row, or its id where there is none, until the transaction ends; waits
-- repeat: unchanged
select w.endpoint_id, w.result, w.new_secret
from postrider.write_endpoint($1, $2::text::jsonb) as w
