-- The one definition of what is overdue: it is due, a dispatcher might take it, and none did yet. What waits on purpose is not overdue:
-- for a retry, for deliver_after, for a paused or disabled endpoint, for a probe, for an endpoint that asked to be left alone, or after the
-- database refused its claim.
create or replace view postrider.overdue as
select e.endpoint_no, e.id as endpoint_id, first.id as delivery_id, first.due_at
from postrider.live_endpoint as e
cross join lateral (
    -- delivery_due gives one row per endpoint.
    select d.id, d.due_at
    from postrider.delivery as d
    where d.endpoint_no = e.endpoint_no
      and d.due_at <= statement_timestamp()
      and d.cancelled_at is null
      and not exists (select from postrider.refused as r
                      where r.stage = 'claim' and r.id = d.id and r.retry_at > statement_timestamp())
    order by d.due_at, d.id
    limit 1) as first
where e.state = 'enabled'
  and not exists (select from postrider.circuit as c
                  where c.endpoint_no = e.endpoint_no and (c.state <> 'closed' or c.held_until > statement_timestamp()));
comment on view postrider.overdue is 'One row per endpoint with an overdue delivery: the one that was due first. Private.';
comment on column postrider.overdue.endpoint_no is 'Private short key of the endpoint.';
comment on column postrider.overdue.endpoint_id is 'The endpoint.';
comment on column postrider.overdue.delivery_id is 'The delivery that was due first.';
comment on column postrider.overdue.due_at is 'Since when the delivery is due.';
revoke all on postrider.overdue from public;
grant select on postrider.overdue to postrider_dispatcher;
