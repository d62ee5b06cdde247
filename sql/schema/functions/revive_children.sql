-- An event was routed to a child in the moment in which it was forgotten. Nothing of that is given up.
create or replace function postrider.revive_children() returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    missed integer[];
begin
    missed := array(
        select e.endpoint_no
        from postrider.endpoint as e
        where e.state = 'deleted' and e.reason = 'idle'
          and exists (select from postrider.delivery as d where d.endpoint_no = e.endpoint_no and d.due_at is not null)
        limit 1000
        for update of e skip locked);
    if cardinality(missed) = 0 then
        return 0;
    end if;
    -- One that was made again meanwhile takes the deliveries over.
    update postrider.delivery as d
    set endpoint_no = twin.endpoint_no
    from postrider.endpoint as e
    join postrider.endpoint as twin on twin.id = e.id and twin.state <> 'deleted'
    where e.endpoint_no = any (missed) and d.endpoint_no = e.endpoint_no and d.due_at is not null
      and not exists (select from postrider.delivery as o where o.event_id = d.event_id and o.endpoint_no = twin.endpoint_no);
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
