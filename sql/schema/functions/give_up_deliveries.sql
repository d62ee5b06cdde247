-- Plain SQL would open no lane: the look for the next delivery needs a snapshot of its own.
create or replace function postrider.give_up_deliveries(delivery_ids bigint[]) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    given_up     bigint;
    endpoint_nos integer[];
    lanes        text[];
begin
    with free as materialized (
        select d.id, d.event_id, d.endpoint_no, d.lane, d.cancelled_at is not null as is_cancelled
        from postrider.delivery as d
        where d.id = any (delivery_ids)
          and d.status = 'pending'
          and (d.cancelled_at is not null
               or exists (select from postrider.endpoint as e where e.endpoint_no = d.endpoint_no and e.state = 'deleted'))
        for update of d skip locked
    ), free_event as materialized (
        select o.id
        from (select distinct f.event_id from free as f) as f
        join postrider.outbox as o on o.id = f.event_id
        for update of o skip locked
    ), ended as (
        update postrider.delivery as d
        set status = 'failed',
            due_at = null,
            lane = null,
            place = null,
            completed_at = clock_timestamp(),
            failed_at = clock_timestamp(),
            -- The error of the last attempt stays.
            last_error = case when f.is_cancelled then coalesce(d.last_error, 'cancelled')
                              else coalesce(d.last_error || '; then ', '') || 'the endpoint was deleted' end
        from free as f
        where d.id = f.id
          and (f.event_id in (select e.id from free_event as e)
               or not exists (select from postrider.outbox as gone where gone.id = f.event_id))
        returning d.event_id, f.endpoint_no, f.lane
    ), events as (
        update postrider.outbox as o
        set open_deliveries = o.open_deliveries - g.deliveries,
            failed = o.failed + g.deliveries,
            status = case when o.open_deliveries > g.deliveries then 'in_progress' else 'failed' end::postrider.status,
            completed_at = case when o.open_deliveries = g.deliveries then clock_timestamp() end
        from (select event_id, count(*)::int as deliveries from ended group by event_id) as g
        where o.id = g.event_id
          -- The same rule as in settle_deliveries.
          and o.status = 'in_progress'
          and o.open_deliveries >= g.deliveries
    )
    select count(*),
           array_agg(g.endpoint_no) filter (where g.lane is not null),
           array_agg(g.lane) filter (where g.lane is not null)
    into given_up, endpoint_nos, lanes
    from ended as g;
    if lanes is not null then
        perform postrider.open_lanes(endpoint_nos, lanes);
        perform pg_notify('postrider', '');
    end if;
    return given_up;
end
$$;
comment on function postrider.give_up_deliveries(bigint[]) is
    'Gives up waiting deliveries of deleted endpoints and cancelled events, and lets their lanes go on; returns how many. Locked ones are '
    'left. Private.';
revoke all on function postrider.give_up_deliveries(bigint[]) from public;
grant execute on function postrider.give_up_deliveries(bigint[]) to postrider_dispatcher;
