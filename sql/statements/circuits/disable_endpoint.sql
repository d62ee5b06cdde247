-- does:   disables an endpoint. Its deliveries wait.
-- params: $1 endpoint_no int, $2 reason text, $3 failing_ms bigint (disables only if attempts have failed for at least this long,
--         without times in which nothing was attempted; null: always)
-- rows:   one: endpoint_id text (null if the endpoint was not enabled, has not failed for that long, or is locked); is_locked
--         boolean
-- locks:  the endpoint's row, skipping a locked one; never waits
-- repeat: endpoint_id is null
with free as materialized (
    select e.endpoint_no from postrider.endpoint as e where e.endpoint_no = $1 and e.state = 'enabled' for no key update skip locked
), disabled as (
    update postrider.endpoint as e
    set state = 'disabled', reason = $2, disabled_at = clock_timestamp(), changed_at = now()
    from free as f
    where e.endpoint_no = f.endpoint_no
      and ($3::bigint is null or exists (
        select from postrider.circuit as c
        where c.endpoint_no = e.endpoint_no
          and c.failed_at - c.failing_since - c.quiet >= $3::bigint * interval '1 millisecond'
          -- Another dispatcher had a success, but did not know yet that the endpoint had a circuit row.
          and not exists (select from postrider.endpoint_stat as t
                          where t.endpoint_no = e.endpoint_no and t.last_success_at > c.failing_since)
          and not exists (select from postrider.endpoint_stat_hourly as t
                          where t.endpoint_no = e.endpoint_no and t.last_success_at > c.failing_since)))
    returning e.id
)
select (select d.id from disabled as d) as endpoint_id,
       exists (select from postrider.endpoint as e where e.endpoint_no = $1 and e.state = 'enabled')
           and not exists (select from free) as is_locked
