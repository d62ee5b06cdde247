-- The claims lead to the deliveries in progress. They are few rows, whatever the size of the history. Without `offset 0` the planner
-- prefers one walk through all deliveries as soon as statistics say that there are many claims.
create or replace view postrider.claimed_delivery as
select d.id, d.endpoint_no, c.dispatcher_id, d.event_id, d.attempts
from postrider.claim as c
cross join lateral unnest(c.delivery_ids) as held (id)
cross join lateral (
    select d.id, d.endpoint_no, d.event_id, d.attempts
    from postrider.delivery as d
    where d.id = held.id and d.claim_id = c.id
    offset 0) as d;
comment on view postrider.claimed_delivery is 'Deliveries in progress, with the dispatchers that hold them. Private.';
comment on column postrider.claimed_delivery.id is 'Delivery id.';
comment on column postrider.claimed_delivery.endpoint_no is 'The endpoint.';
comment on column postrider.claimed_delivery.dispatcher_id is 'The dispatcher.';
comment on column postrider.claimed_delivery.event_id is 'The event.';
comment on column postrider.claimed_delivery.attempts is 'Number of the attempt.';
revoke all on postrider.claimed_delivery from public;
grant select on postrider.claimed_delivery to postrider_dispatcher;
