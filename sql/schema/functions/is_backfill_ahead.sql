-- A fresh event waits behind those that were inserted before it. So the next batch of a backfill waits until most events of the last one
-- are out of the way, and an endpoint has at most about two batches in front of what is fresh. A sample of 64 events says it.
--
--    ahead    not routed yet, or a first attempt is still to come at an endpoint that takes attempts
--    stuck    a first attempt is still to come, but only at endpoints that are paused, disabled, down or held: they delay no other's rows
--    through  everything else
--
-- Where every event is stuck, a batch comes every 10 s: nothing is gained by a long queue in front of a receiver that is away.
create or replace function postrider.is_backfill_ahead(sample bigint[], sent_at timestamptz) returns boolean
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select case
        when counted.stuck = cardinality(is_backfill_ahead.sample)
            then counted.stuck > 0 and is_backfill_ahead.sent_at > clock_timestamp() - interval '10 seconds'
        else counted.ahead * 2 > cardinality(is_backfill_ahead.sample) - counted.stuck end
    from (
        select count(*) filter (where event.is_ahead) as ahead,
               count(*) filter (where event.is_stuck and not event.is_ahead) as stuck
        from unnest(is_backfill_ahead.sample) as s (id)
        join postrider.outbox as o on o.id = s.id
        cross join lateral (
            select o.status = 'pending' and not exists (select from postrider.refused as r where r.stage = 'route' and r.id = o.id)
                   or coalesce(bool_or(delivery.is_first and delivery.is_taken), false) as is_ahead,
                   coalesce(bool_and(delivery.is_first), false) as is_stuck
            from (
                select d.status in ('pending', 'in_progress')
                       and d.attempts <= case d.status when 'in_progress' then 1 else 0 end as is_first,
                       e.state = 'enabled'
                       and not exists (select from postrider.circuit as c
                                       where c.endpoint_no = d.endpoint_no
                                         and (c.state <> 'closed' or c.held_until > clock_timestamp() + interval '1 minute'))
                       and not exists (select from postrider.refused as r where r.stage = 'claim' and r.id = d.id) as is_taken
                from postrider.delivery as d
                join postrider.endpoint as e on e.endpoint_no = d.endpoint_no
                where d.event_id = o.id
                  and o.status = 'in_progress') as delivery) as event) as counted
$$;
comment on function postrider.is_backfill_ahead(bigint[], timestamptz) is
    'Whether fresh events would still wait behind the last batch of a backfill, of which this is a sample. Private.';
revoke all on function postrider.is_backfill_ahead(bigint[], timestamptz) from public;
grant execute on function postrider.is_backfill_ahead(bigint[], timestamptz) to postrider_dispatcher;
