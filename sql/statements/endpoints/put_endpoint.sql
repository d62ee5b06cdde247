-- does:   creates an endpoint, or changes the settings that are named (postrider.write_endpoint)
-- params: $1 id, $2 settings text (a JSON object): the arguments of postrider.put_endpoint by name, durations as texts; a name
--         that is left out is kept, null gives the default; $3 is_set boolean: the endpoint must exist, and headers are
--         changed one by one
-- rows:   one: endpoint_id, result (created | changed | unchanged), new_secret (when it was created and no secret was named),
--         changes text[] (a line for each setting)
-- locks:  the endpoint's row, or its id where there is none, until the transaction ends; waits
-- repeat: unchanged
select w.endpoint_id, w.result, w.new_secret, w.changes
from postrider.write_endpoint($1, $2::text::jsonb, $3::boolean) as w
