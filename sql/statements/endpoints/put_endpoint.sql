-- does:   creates or replaces an endpoint (postrider.put_endpoint)
-- params: $1 id, $2 url, $3 topics text[], $4 headers text (a JSON object), $5 secret or null, $6 max_in_flight int,
--         $7 rate_limit or null, $8 timeout_ms bigint or null, $9 retry_schedule_ms bigint[] or null, $10 ordered boolean,
--         $11 format, $12 signing_key or null, $13 public_key or null, $14 auth or null, $15 ca_certificates or null,
--         $16 client_certificate or null, $17 new_secret_if_created or null: the secret, if it is created and $5 is null
-- rows:   one: endpoint_id, result (created | changed | unchanged), new_secret (when it was created and $5 is null)
-- locks:  the endpoint's row, or its id where there is none, until the transaction ends; waits
-- repeat: unchanged
select p.endpoint_id, p.result, p.new_secret
from postrider.put_endpoint($1, $2, $3, $4::text::jsonb, $5, $6, $7, $8::bigint * interval '1 millisecond',
    (select array_agg(s.ms * interval '1 millisecond' order by s.position)
     from unnest($9::bigint[]) with ordinality as s (ms, position)), $10,
    format => $11, signing_key => $12, public_key => $13, auth => $14, ca_certificates => $15, client_certificate => $16,
    new_secret_if_created => $17) as p
