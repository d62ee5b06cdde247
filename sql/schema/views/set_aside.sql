create or replace view postrider.set_aside as
select r.stage,
       o.id as event_id,
       d.id as delivery_id,
       o.topic,
       e.id as endpoint_id,
       r.reason,
       r.tries,
       r.since,
       r.retry_at as next_try_at
from postrider.refused as r
left join postrider.delivery as d on r.stage not in ('route', 'delete') and d.id = r.id
left join postrider.outbox as o on o.id = case when r.stage in ('route', 'delete') then r.id else d.event_id end
left join postrider.endpoint as e on e.endpoint_no = d.endpoint_no;
comment on view postrider.set_aside is
    'One row per event or delivery that the database refused to write, because of a trigger, a constraint or damaged data. Other rows '
    'go on. This one is tried again at next_try_at.';
comment on column postrider.set_aside.stage is
    'The refused step: route (the event), claim, settle, give_back or give_up (the delivery), delete (the event, after its retention).';
comment on column postrider.set_aside.event_id is 'The event: postrider.outbox.id.';
comment on column postrider.set_aside.delivery_id is 'The delivery; null for an event.';
comment on column postrider.set_aside.topic is 'Event type.';
comment on column postrider.set_aside.endpoint_id is 'The endpoint of the delivery.';
comment on column postrider.set_aside.reason is 'The database''s error message.';
comment on column postrider.set_aside.tries is 'How often the row was refused.';
comment on column postrider.set_aside.since is 'When the row was refused first.';
comment on column postrider.set_aside.next_try_at is
    'When the row is tried again: after 5 s, 5 min, 30 min, 2 h and so on, or after seconds if a lock or a timeout was the reason. When '
    'another row with the same reason succeeds, this one is tried at once.';
revoke all on postrider.set_aside from public;
grant select on postrider.set_aside to postrider_reader, postrider_dispatcher;
