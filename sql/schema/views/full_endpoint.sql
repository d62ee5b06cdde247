-- Endpoints that let no further delivery begin at the moment. A dispatcher claims what begins within a second, so a rate limit is used up
-- while something is claimed, and until its interval after the last attempt has passed. Each dispatcher has an equal part of the rate.
create or replace view postrider.full_endpoint as
select e.endpoint_no
from postrider.live_endpoint as e
left join (
    select h.endpoint_no, count(*) as in_progress
    from postrider.claimed_delivery as h group by h.endpoint_no) as held on held.endpoint_no = e.endpoint_no
where e.state = 'enabled'
  and (held.in_progress >= e.max_in_flight
       or (e.rate_limit is not null
           and (held.in_progress > 0
                or exists (
                    select
                    from (select t.endpoint_no, t.last_success_at, t.last_failure_at from postrider.endpoint_stat as t
                          union all
                          select t.endpoint_no, t.last_success_at, t.last_failure_at from postrider.endpoint_stat_hourly as t) as s
                    where s.endpoint_no = e.endpoint_no
                      and greatest(s.last_success_at, s.last_failure_at) > statement_timestamp()
                          - interval '1 second'
                            * (case right(e.rate_limit, 1) when 's' then 1 when 'm' then 60 else 3600 end)
                            / split_part(e.rate_limit, '/', 1)::int
                            * (select count(*) from postrider.dispatcher as p where p.lease_until > statement_timestamp())))));
comment on view postrider.full_endpoint is 'One row per endpoint whose max_in_flight or rate_limit is used up. Private.';
comment on column postrider.full_endpoint.endpoint_no is 'Private short key of the endpoint.';
revoke all on postrider.full_endpoint from public;
grant select on postrider.full_endpoint to postrider_dispatcher;
