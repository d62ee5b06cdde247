create or replace function postrider.cancel(inout event_id bigint, out status postrider.status, out cancelled integer, out under_way integer)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    endpoint_nos integer[];
    lanes        text[];
begin
    cancelled := 0;
    under_way := 0;
    begin
        -- An event that is not routed yet never will be. If a dispatcher is routing it, this waits and then finds it routed.
        update postrider.outbox as o
        set status = 'failed', deliveries = 0, open_deliveries = 0, failed = 0,
            completed_at = clock_timestamp(), cancelled_at = clock_timestamp()
        where o.id = cancel.event_id and o.status = 'pending'
        returning o.status into strict cancel.status;
        return;
    exception when no_data_found then
        -- A call that waited has locked the event all the same. The end of this block gives the lock back. It must come after
        -- those of the deliveries, in the order in which settling takes them.
        null;
    end;
    perform from postrider.delivery as d where d.event_id = cancel.event_id order by d.id for update;
    -- A cancelled event holds up no key, also if it failed before. A delivery under way leaves its lane when it is settled.
    select array_agg(d.endpoint_no), array_agg(d.lane) into endpoint_nos, lanes
    from postrider.delivery as d
    where d.event_id = cancel.event_id and d.lane is not null and d.status in ('pending', 'failed');
    if lanes is not null then
        update postrider.delivery as d set lane = null, place = null
        where d.event_id = cancel.event_id and d.lane is not null and d.status = 'failed';
    end if;
    update postrider.delivery as d
    set status = 'failed', due_at = null, lane = null, place = null, completed_at = clock_timestamp(), failed_at = clock_timestamp(),
        -- The error of the last attempt stays.
        cancelled_at = clock_timestamp(), last_error = coalesce(d.last_error, 'cancelled')
    where d.event_id = cancel.event_id and d.status = 'pending';
    get diagnostics cancelled = row_count;
    update postrider.delivery as d set cancelled_at = clock_timestamp()
    where d.event_id = cancel.event_id and d.status = 'in_progress';
    get diagnostics under_way = row_count;
    if cancelled + under_way > 0 then
        update postrider.outbox as o
        set open_deliveries = o.open_deliveries - cancelled, failed = o.failed + cancelled, cancelled_at = clock_timestamp(),
            status = case when o.open_deliveries = cancelled then 'failed' else 'in_progress' end::postrider.status,
            completed_at = case when o.open_deliveries = cancelled then clock_timestamp() end
        where o.id = cancel.event_id;
    elsif exists (select from postrider.outbox as o where o.id = cancel.event_id and o.status = 'in_progress') then
        -- In progress without an open delivery: somebody has deleted those that were. A replay that adds one is waited for.
        perform from postrider.outbox as o where o.id = cancel.event_id for update;
        update postrider.outbox as o
        set status = 'failed', open_deliveries = 0, failed = o.failed + o.open_deliveries,
            completed_at = clock_timestamp(), cancelled_at = clock_timestamp()
        where o.id = cancel.event_id and o.status = 'in_progress'
          and not exists (select from postrider.delivery as d
                          where d.event_id = cancel.event_id and d.status in ('pending', 'in_progress'));
    end if;
    if lanes is not null then
        perform postrider.open_lanes(endpoint_nos, lanes);
        perform pg_notify('postrider', '');
    end if;
    select o.status into cancel.status from postrider.outbox as o where o.id = cancel.event_id;
    if not found then
        raise exception 'event % does not exist', cancel.event_id using errcode = 'no_data_found';
    end if;
end
$$;
comment on function postrider.cancel(bigint) is
    'Cancels an event. Waiting deliveries are given up (cancelled: how many). Deliveries under way are not retried, but may still '
    'arrive (under_way: how many). Settled deliveries stay as they are, and a failed one holds up its key no longer. Returns (event_id, status, cancelled, under_way). Raises P0002 '
    'for an unknown id.';
revoke all on function postrider.cancel(bigint) from public;
grant execute on function postrider.cancel(bigint) to postrider_dispatcher;
