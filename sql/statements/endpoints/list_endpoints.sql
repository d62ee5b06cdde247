-- does:   reads endpoints with their health, without their secrets and the values of their headers
-- params: $1 id text (null: all), $2 after_id text (null: from the first), $3 rows_max bigint 1..=10000; $4 by_trouble boolean:
--         those that somebody has to look at come first (disabled, down, failing, paused, healthy), and of those the ones with
--         the most pending deliveries; without $4 by id; $5 template text (null: any): those of this template; $6 with_children boolean:
--         without $1 and $4, those of templates too
-- rows:   row text: a JSON object of the columns below and those of postrider.endpoint_health; in order. children: of a template, how
--         many there are of each health, and how many deliveries wait for them
-- locks:  none
-- repeat: the same
with chosen as materialized (
    select c.endpoint_no, row_number() over (order by c.id) as position
    from (select p.endpoint_no, p.id
          from postrider.endpoint as p
          where not $4::boolean
            and p.state <> 'deleted' and ($1::text is null or p.id = $1) and ($2::text is null or p.id > $2)
            and ($1 is not null or $6::boolean or $5::text is not null or p.template_no is null)
            and ($5 is null or p.template_no = (select t.endpoint_no from postrider.endpoint as t where t.id = $5 and t.state <> 'deleted'))
          order by p.id
          limit $3::bigint) as c
    union all
    select t.endpoint_no, row_number() over (order by t.trouble desc, t.pending desc, t.failed_attempts_24h desc, t.id) as position
    from (select h.endpoint_no, h.id, h.trouble, h.failed_attempts_24h, coalesce(waiting.pending, 0) as pending
          from postrider.endpoint_condition as h
          -- One walk of delivery_due, and one of delivery_by_lane.
          left join (select d.endpoint_no, count(*) as pending
                     from postrider.waiting_delivery as d
                     group by d.endpoint_no) as waiting on waiting.endpoint_no = h.endpoint_no
          where $4
          order by h.trouble desc, 5 desc, h.failed_attempts_24h desc, h.id
          limit $3) as t
)
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
           e.on_failed,
           e.format,
           e.public_key,
           e.has_auth,
           e.has_client_certificate,
           e.ca_certificates,
           e.allow_http,
           e.allow_cidr::text[] as allow_cidr,
           case when e.is_template then (
               select to_json(k)
               from (select count(*) filter (where k.health = 'healthy') as healthy,
                            count(*) filter (where k.health = 'failing') as failing,
                            count(*) filter (where k.health = 'down') as down,
                            count(*) filter (where k.health = 'paused') as paused,
                            count(*) filter (where k.health = 'disabled') as disabled,
                            coalesce(sum((select count(*) from postrider.waiting_delivery as d
                                          where d.endpoint_no = k.endpoint_no)), 0)::bigint as pending
                     from postrider.endpoint_condition as k where k.template_id = e.id) as k) end as children,
           h.*
    from chosen as c
    join postrider.live_endpoint as e on e.endpoint_no = c.endpoint_no
    join postrider.endpoint_health as h on h.endpoint_id = e.id
    order by c.position) as r
