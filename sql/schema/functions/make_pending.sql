-- Complete and failed deliveries become pending and due at once, with the whole retry schedule before them. If only the delivery's row
-- tells of the first attempt, that attempt gets a row of its own now.
create or replace function postrider.make_pending(delivery_ids bigint[]) returns bigint
language sql volatile set search_path = pg_catalog, pg_temp
begin atomic
    -- Settling locks deliveries before events, and events in order of id. This does the same.
    with finished as materialized (
        select d.id, d.event_id, d.status, d.endpoint_no, d.created_at, d.first_duration_ms, d.last_status_code
        from postrider.delivery as d
        where d.id = any (delivery_ids) and d.status in ('complete', 'failed')
        order by d.id
        for update
    ), counted as materialized (
        select f.event_id, count(*)::int as deliveries, (count(*) filter (where f.status = 'failed'))::int as failed
        from finished as f
        group by f.event_id
    ), locked as materialized (
        select o.id from postrider.outbox as o
        where o.id in (select c.event_id from counted as c)
        order by o.id
        for update of o
    ), told as (
        insert into postrider.attempt (delivery_id, started_at, endpoint_no, duration_ms, attempt, status_code, outcome)
        select f.id, f.created_at, f.endpoint_no, f.first_duration_ms, 1, f.last_status_code, 'complete'
        from finished as f
        where f.first_duration_ms is not null
    ), again as (
        update postrider.delivery as d
        set status = 'pending', due_at = clock_timestamp(), completed_at = null, failed_at = null,
            cancelled_at = null, attempts_before = d.attempts, paced = null, first_duration_ms = null
        from finished as f
        where d.id = f.id
        returning d.id
    ), events as (
        update postrider.outbox as o
        set status = 'in_progress', open_deliveries = o.open_deliveries + c.deliveries, failed = o.failed - c.failed,
            completed_at = null, cancelled_at = null
        from counted as c
        join locked as l on l.id = c.event_id
        where o.id = c.event_id
    ), rung as (
        select pg_notify('postrider', '') where exists (select from again)
    )
    select count(*) from again left join rung on true;
end;
comment on function postrider.make_pending(bigint[]) is
    'Makes complete and failed deliveries pending again and wakes the dispatchers; returns how many. Private.';
revoke all on function postrider.make_pending(bigint[]) from public;
grant execute on function postrider.make_pending(bigint[]) to postrider_dispatcher;
