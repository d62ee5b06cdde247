-- The one definition of a delivery that waits. The two parts have no row in common: the first delivery of a lane has a due time, and those
-- behind it have none. The first part is delivery_due, and the second is read by delivery_by_lane.
create or replace view postrider.waiting_delivery as
select d.id, d.endpoint_no, d.event_id, d.created_at
from postrider.delivery as d
where d.due_at is not null
union all
select d.id, d.endpoint_no, d.event_id, d.created_at
from postrider.delivery as d
where d.lane is not null and d.due_at is null and d.status = 'pending';
comment on view postrider.waiting_delivery is
    'Pending deliveries: for a slot, for their next attempt, or for those of the same key before them. Private.';
comment on column postrider.waiting_delivery.id is 'Delivery id.';
comment on column postrider.waiting_delivery.endpoint_no is 'The endpoint.';
comment on column postrider.waiting_delivery.event_id is 'The event.';
comment on column postrider.waiting_delivery.created_at is 'When the event was routed.';
revoke all on postrider.waiting_delivery from public;
grant select on postrider.waiting_delivery to postrider_dispatcher;
