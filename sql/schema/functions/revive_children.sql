-- An event was routed to a child in the moment in which it was forgotten. Nothing of that is given up.
create or replace function postrider.revive_children() returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    missed       integer[];
    endpoint_nos integer[];
    lanes        text[];
begin
    missed := array(
        select e.endpoint_no
        from postrider.endpoint as e
        where e.state = 'deleted' and e.reason = 'idle'
          and (exists (select from postrider.delivery as d where d.endpoint_no = e.endpoint_no and d.due_at is not null)
               or exists (select from postrider.delivery as d where d.endpoint_no = e.endpoint_no and d.lane is not null))
        limit 1000
        for update of e skip locked);
    if cardinality(missed) = 0 then
        return 0;
    end if;
    -- One that was made again meanwhile takes the deliveries over.
    with moved as (
        update postrider.delivery as d
        set endpoint_no = twin.endpoint_no, due_at = case when d.lane is null then d.due_at end
        from postrider.endpoint as e
        join postrider.endpoint as twin on twin.id = e.id and twin.state <> 'deleted'
        where e.endpoint_no = any (missed) and d.endpoint_no = e.endpoint_no
          and d.id in (select w.id from postrider.delivery as w where w.endpoint_no = any (missed) and w.due_at is not null
                       union all
                       select w.id from postrider.delivery as w
                       where w.endpoint_no = any (missed) and w.lane is not null and w.status <> 'in_progress')
          and not exists (select from postrider.delivery as o where o.event_id = d.event_id and o.endpoint_no = twin.endpoint_no)
        returning d.endpoint_no, d.lane
    )
    select array_agg(m.endpoint_no), array_agg(m.lane) into endpoint_nos, lanes from moved as m where m.lane is not null;
    if lanes is not null then
        -- Two lanes became one. What was first in each is so no longer, except for one.
        update postrider.delivery as d
        set due_at = null
        from (select distinct u.endpoint_no, u.lane from unnest(endpoint_nos, lanes) as u (endpoint_no, lane)) as merged
        where d.endpoint_no = merged.endpoint_no and d.lane = merged.lane and d.due_at is not null;
        perform postrider.open_lanes(endpoint_nos, lanes);
    end if;
    update postrider.endpoint as e
    set state = 'enabled', reason = null, changed_at = now()
    where e.endpoint_no = any (missed)
      and not exists (select from postrider.endpoint as twin where twin.id = e.id and twin.state <> 'deleted');
    return cardinality(missed);
end
$$;
comment on function postrider.revive_children() is
    'Brings back endpoints of templates that were forgotten while an event was routed to them; returns how many. Private.';
revoke all on function postrider.revive_children() from public;
grant execute on function postrider.revive_children() to postrider_dispatcher;
