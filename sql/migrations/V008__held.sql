-- why: what is in progress was found by reading the whole history whenever statistics said that there were many claims: the
--      planner preferred one walk through all deliveries. `offset 0` leaves it no choice: one look-up by id per delivery.
-- old code: survives.

create or replace view postrider.held_delivery as
select d.id, d.endpoint_no, c.dispatcher_id, d.event_id, d.attempts
from postrider.claim as c
cross join lateral unnest(c.delivery_ids) as held (id)
cross join lateral (
    select d.id, d.endpoint_no, d.event_id, d.attempts
    from postrider.delivery as d
    where d.id = held.id and d.claim_id = c.id
    offset 0) as d;
comment on column postrider.held_delivery.event_id is 'The event.';
comment on column postrider.held_delivery.attempts is 'Which attempt it is.';

create or replace view postrider.delivery_in_progress as
select h.id as delivery_id,
       h.event_id,
       e.id as endpoint_id,
       o.topic,
       h.attempts as attempt,
       h.dispatcher_id,
       p.host,
       p.lease_until
from postrider.held_delivery as h
left join lateral (select o.topic from postrider.outbox as o where o.id = h.event_id offset 0) as o on true
left join postrider.endpoint as e on e.no = h.endpoint_no
left join postrider.dispatcher as p on p.id = h.dispatcher_id;
