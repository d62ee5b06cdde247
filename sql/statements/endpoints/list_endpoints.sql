-- does:   reads endpoints with their health, without their secrets and the values of their headers
-- params: $1 id text (null: all), $2 after_id text (null: from the first), $3 rows_max bigint 1..=10000
-- rows:   row text: a JSON object of the columns below and those of postrider.endpoint_health; by id
-- locks:  none
-- repeat: the same
select postrider.readable(to_json(r)::text) as row
from (
    select e.id,
           e.topics,
           array(select jsonb_object_keys(e.headers)) as header_names,
           e.max_in_flight,
           e.rate_limit,
           (extract(epoch from e.timeout) * 1000)::bigint as timeout,
           (select array_agg((extract(epoch from s.delay) * 1000)::bigint order by s.position)
            from unnest(e.retry_schedule) with ordinality as s (delay, position)) as retry_schedule,
           e.ordered,
           e.format,
           e.public_key,
           e.auth is not null as has_auth,
           e.client_certificate is not null as has_client_certificate,
           e.ca_certificates,
           h.*
    from (select p.*
          from postrider.endpoint as p
          where p.state <> 'deleted' and ($1::text is null or p.id = $1) and ($2::text is null or p.id > $2)
          order by p.id
          limit $3::bigint) as e
    join postrider.endpoint_health as h on h.endpoint_id = e.id
    order by e.id) as r
