create or replace view postrider.backlog as
select unrouted.unrouted,
       waiting.pending,
       (select count(*) from postrider.claimed_delivery) as in_progress,
       (select count(*) from postrider.delivery as d where d.failed_at is not null) as failed,
       unrouted.oldest_unrouted_at,
       waiting.oldest_due_at,
       nobody.unmatched_24h,
       nobody.unknown_destination_24h
from (select count(*) as unrouted, min(o.created_at) as oldest_unrouted_at
      from postrider.outbox as o
      where o.created_xid >= postrider.routed_below() and o.status = 'pending') as unrouted
cross join (select count(*) as pending, (select min(v.due_at) from postrider.overdue as v) as oldest_due_at
            from postrider.waiting_delivery as d) as waiting
cross join (select coalesce(sum(r.topic), 0)::bigint as unmatched_24h,
                   coalesce(sum(r.destination), 0)::bigint as unknown_destination_24h
            from postrider.reached_nobody as r where r.hour > now() - interval '24 hours') as nobody;
comment on view postrider.backlog is 'One row: the remaining work.';
comment on column postrider.backlog.unrouted is 'Events not yet routed.';
comment on column postrider.backlog.pending is 'Deliveries that wait: for a slot, for their next attempt, or for those of the same key before them.';
comment on column postrider.backlog.in_progress is 'Deliveries that a dispatcher holds.';
comment on column postrider.backlog.failed is 'Deliveries given up or cancelled, until their retention ends.';
comment on column postrider.backlog.oldest_unrouted_at is 'When the oldest unrouted event was inserted.';
comment on column postrider.backlog.oldest_due_at is
    'Since when the most overdue delivery is due; null if none is overdue. A delivery that waits on purpose is not overdue: for a retry, '
    'for deliver_after, for a paused or disabled endpoint, for a probe.';
comment on column postrider.backlog.unmatched_24h is
    'Events of the last 24 hours, counted by whole hours, that reached nobody because no endpoint subscribes to their topic. They are '
    'complete.';
comment on column postrider.backlog.unknown_destination_24h is
    'Events of the last 24 hours, counted by whole hours, that reached nobody because their destination does not exist. They are failed.';
revoke all on postrider.backlog from public;
grant select on postrider.backlog to postrider_reader, postrider_dispatcher;
