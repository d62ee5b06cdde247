-- does:   deletes an endpoint (postrider.delete_endpoint)
-- params: $1 id text
-- rows:   one: row text: a JSON object of the columns below; raises P0002 for an unknown id
-- locks:  the endpoint's row
-- repeat: raises P0002
select to_json(r)::text as row from (select d.endpoint_id as id, d.pending from postrider.delete_endpoint($1) as d) as r
