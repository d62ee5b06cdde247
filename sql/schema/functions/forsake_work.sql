-- Nobody works on a copy yet: what is in progress there was in progress at the original. So no claim is waited for.
create or replace function postrider.forsake_work(out events_cancelled bigint, out endpoints_paused bigint)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    unrouted bigint;
begin
    update postrider.endpoint as e
    set state = 'paused', reason = 'copied from another installation', changed_at = now()
    -- Endpoints of a template stand still with it.
    where e.state = 'enabled' and e.template_no is null;
    get diagnostics endpoints_paused = row_count;
    with given_up as (
        update postrider.delivery as d
        set status = 'failed', due_at = null, lane = null, place = null, claim_id = null, completed_at = clock_timestamp(), failed_at = clock_timestamp(),
            cancelled_at = clock_timestamp(), last_error = 'cancelled: this is a copy'
        where d.status in ('pending', 'in_progress')
        returning d.event_id
    )
    update postrider.outbox as o
    set status = 'failed', open_deliveries = 0, failed = o.failed + g.deliveries,
        completed_at = clock_timestamp(), cancelled_at = clock_timestamp()
    from (select u.event_id, count(*)::int as deliveries from given_up as u group by u.event_id) as g
    where o.id = g.event_id;
    get diagnostics events_cancelled = row_count;
    -- An event that is still in progress lacks deliveries: the copy was made without them.
    update postrider.outbox as o
    set status = 'failed', deliveries = coalesce(o.deliveries, 0), open_deliveries = 0,
        failed = coalesce(o.failed + o.open_deliveries, 0), completed_at = clock_timestamp(), cancelled_at = clock_timestamp()
    where o.status in ('pending', 'in_progress');
    get diagnostics unrouted = row_count;
    events_cancelled := events_cancelled + unrouted;
    -- A delivery that failed at the original holds up no key here.
    update postrider.delivery as d set lane = null, place = null where d.lane is not null;
    delete from postrider.claim;
    delete from postrider.dispatcher;
end
$$;
comment on function postrider.forsake_work() is
    'Cancels every event that is not settled and pauses every endpoint; returns how many. Private: adopt calls it.';
revoke all on function postrider.forsake_work() from public;
