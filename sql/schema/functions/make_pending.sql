-- Complete and failed deliveries become pending, with the whole retry schedule before them. If only the delivery's row tells of the first
-- attempt, that attempt gets a row of its own now. They are due at once; in a lane, only the first delivery is. One that holds up its lane
-- keeps its place there. One whose lane went on without it goes to the end.
create or replace function postrider.make_pending(delivery_ids bigint[], event_ids bigint[] default '{}', places bigint[] default '{}')
returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    made         bigint;
    endpoint_nos integer[];
    lanes        text[];
begin
    -- Settling locks deliveries before events, and events in order of id. This does the same.
    with finished as materialized (
        select d.id, d.event_id, d.status, d.endpoint_no, d.lane, d.place, d.created_at, d.first_duration_ms, d.last_status_code
        from postrider.delivery as d
        where d.id = any (delivery_ids) and d.status in ('complete', 'failed')
        order by d.id
        for update
    ), counted as materialized (
        select f.event_id, count(*)::int as deliveries, (count(*) filter (where f.status = 'failed'))::int as failed
        from finished as f
        group by f.event_id
    ), locked as materialized (
        select o.id, o.key from postrider.outbox as o
        where o.id in (select c.event_id from counted as c)
        order by o.id
        for update of o
    ), in_lane as materialized (
        select f.id, f.lane, coalesce(f.place, f.given, nextval('postrider.outbox_id_seq')) as place
        from (select f.id, coalesce(f.lane, l.key) as lane, f.place, g.place as given
              from finished as f
              join locked as l on l.id = f.event_id
              join postrider.live_endpoint as e on e.endpoint_no = f.endpoint_no and e.ordered
              left join unnest(make_pending.event_ids, make_pending.places) as g (event_id, place) on g.event_id = f.event_id
              where coalesce(f.lane, l.key) is not null
              order by f.event_id, f.id) as f
    ), told as (
        insert into postrider.attempt (delivery_id, started_at, endpoint_no, duration_ms, attempt, status_code, outcome)
        select f.id, f.created_at, f.endpoint_no, f.first_duration_ms, 1, f.last_status_code, 'complete'
        from finished as f
        where f.first_duration_ms is not null
    ), again as (
        update postrider.delivery as d
        set status = 'pending', due_at = case when i.id is null then clock_timestamp() end, lane = i.lane, place = i.place,
            completed_at = null, failed_at = null, cancelled_at = null, attempts_before = d.attempts, paced = null, failing_since = null,
            first_duration_ms = null
        from finished as f
        left join in_lane as i on i.id = f.id
        where d.id = f.id
        returning d.endpoint_no, coalesce(d.lane, f.lane) as lane
    ), events as (
        update postrider.outbox as o
        set status = 'in_progress', open_deliveries = o.open_deliveries + c.deliveries, failed = o.failed - c.failed,
            completed_at = null, cancelled_at = null
        from counted as c
        join locked as l on l.id = c.event_id
        where o.id = c.event_id
    )
    select count(*),
           array_agg(a.endpoint_no) filter (where a.lane is not null),
           array_agg(a.lane) filter (where a.lane is not null)
    into made, endpoint_nos, lanes
    from again as a;
    if made > 0 then
        perform postrider.open_lanes(endpoint_nos, lanes);
        perform pg_notify('postrider', '');
    end if;
    return made;
end
$$;
comment on function postrider.make_pending(bigint[], bigint[], bigint[]) is
    'Makes complete and failed deliveries pending again and wakes the dispatchers; returns how many. places: for these events, where their '
    'deliveries come at the end of a lane; without one, each gets the next. Private.';
revoke all on function postrider.make_pending(bigint[], bigint[], bigint[]) from public;
grant execute on function postrider.make_pending(bigint[], bigint[], bigint[]) to postrider_dispatcher;
