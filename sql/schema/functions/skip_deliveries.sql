-- Skipped deliveries are given up, leave their lanes, and are marked as cancelled ones are, so that no retry of many takes them along.
create or replace function postrider.skip_deliveries(delivery_ids bigint[], reason text) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    skipped      bigint;
    endpoint_nos integer[];
    lanes        text[];
begin
    -- Settling locks deliveries before events, and events in order of id. This does the same.
    with chosen as materialized (
        select d.id, d.event_id, d.endpoint_no, d.lane, d.status
        from postrider.delivery as d
        where d.id = any (delivery_ids)
          -- One that was skipped or cancelled before stays as it is.
          and (d.status = 'pending' or d.status = 'failed' and (d.lane is not null or d.cancelled_at is null))
        order by d.id
        for update
    ), counted as materialized (
        select c.event_id, count(*)::int as deliveries
        from chosen as c
        where c.status = 'pending'
        group by c.event_id
    ), locked as materialized (
        select o.id from postrider.outbox as o
        where o.id in (select c.event_id from counted as c)
        order by o.id
        for update of o
    ), given_up as (
        update postrider.delivery as d
        set status = 'failed', due_at = null, lane = null, place = null,
            completed_at = coalesce(d.completed_at, clock_timestamp()), failed_at = coalesce(d.failed_at, clock_timestamp()),
            cancelled_at = clock_timestamp(),
            -- The error of the last attempt stays readable.
            last_error = coalesce(left(d.last_error, 500) || '; then ', '') || 'skipped'
                || coalesce(': ' || regexp_replace(left(skip_deliveries.reason, 500), '[[:cntrl:]]+', ' ', 'g'), '')
        from chosen as c
        where d.id = c.id
        returning c.endpoint_no, c.lane
    ), events as (
        update postrider.outbox as o
        set open_deliveries = o.open_deliveries - c.deliveries,
            failed = o.failed + c.deliveries,
            status = case when o.open_deliveries > c.deliveries then 'in_progress' else 'failed' end::postrider.status,
            completed_at = case when o.open_deliveries = c.deliveries then clock_timestamp() end
        from counted as c
        join locked as l on l.id = c.event_id
        where o.id = c.event_id
          -- The same rule as in settle_deliveries.
          and o.status = 'in_progress'
          and o.open_deliveries >= c.deliveries
    )
    select count(*),
           array_agg(g.endpoint_no) filter (where g.lane is not null),
           array_agg(g.lane) filter (where g.lane is not null)
    into skipped, endpoint_nos, lanes
    from given_up as g;
    if lanes is not null then
        perform postrider.open_lanes(endpoint_nos, lanes);
        perform pg_notify('postrider', '');
    end if;
    return skipped;
end
$$;
comment on function postrider.skip_deliveries(bigint[], text) is
    'Gives up deliveries that wait, takes failed ones out of their lanes, and lets the lanes go on; returns how many. Private.';
revoke all on function postrider.skip_deliveries(bigint[], text) from public;
grant execute on function postrider.skip_deliveries(bigint[], text) to postrider_dispatcher;
