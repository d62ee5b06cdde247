-- claimed_delivery gives the reason for `offset 0`.
create or replace view postrider.delivery_in_progress as
select h.id as delivery_id,
       h.event_id,
       e.id as endpoint_id,
       o.topic,
       h.attempts as attempt,
       h.dispatcher_id,
       p.host,
       p.lease_until
from postrider.claimed_delivery as h
left join lateral (select o.topic from postrider.outbox as o where o.id = h.event_id offset 0) as o on true
left join postrider.endpoint as e on e.endpoint_no = h.endpoint_no
left join postrider.dispatcher as p on p.id = h.dispatcher_id;
comment on view postrider.delivery_in_progress is
    'One row per delivery that a dispatcher holds. Its attempt is under way, or about to begin.';
comment on column postrider.delivery_in_progress.delivery_id is 'Delivery id.';
comment on column postrider.delivery_in_progress.event_id is 'The event: postrider.outbox.id.';
comment on column postrider.delivery_in_progress.endpoint_id is 'The endpoint.';
comment on column postrider.delivery_in_progress.topic is 'Event type.';
comment on column postrider.delivery_in_progress.attempt is 'Number of the attempt.';
comment on column postrider.delivery_in_progress.dispatcher_id is 'The dispatcher that holds the delivery: postrider.dispatcher_status.';
comment on column postrider.delivery_in_progress.host is 'The dispatcher''s host name and process id.';
comment on column postrider.delivery_in_progress.lease_until is
    'End of the dispatcher''s lease. If the dispatcher died, others take the delivery over after this time.';
revoke all on postrider.delivery_in_progress from public;
grant select on postrider.delivery_in_progress to postrider_reader, postrider_dispatcher;
