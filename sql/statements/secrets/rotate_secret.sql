-- does:   gives an endpoint a new secret (postrider.rotate_secret)
-- params: $1 id text, $2 secret text or null (generated), $3 overlap_ms bigint: how long the old secret signs too
-- rows:   one: row text: a JSON object of the columns below; raises P0002 for an unknown id
-- locks:  the endpoint's row
-- repeat: another secret, unless one was given
select to_json(r)::text as row
from (select s.endpoint_id as id, s.new_secret as secret, s.old_valid_until
      from postrider.rotate_secret($1, $2, $3::bigint * interval '1 millisecond') as s) as r
