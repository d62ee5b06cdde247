-- A child comes back by itself with the next event for it. A child that somebody paused, or that is disabled, is kept as it is.
create or replace function postrider.forget_children(idle_since timestamptz) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    idle integer[];
begin
    -- The rows are locked first, because even an update of nothing makes the dispatchers read the endpoints again.
    idle := array(
        select e.endpoint_no
        from postrider.endpoint as e
        left join postrider.endpoint as t on t.endpoint_no = e.template_no
        where e.template_no is not null and e.state <> 'deleted'
          -- A template may be deleted while a router makes an endpoint of it.
          and (coalesce(t.state, 'deleted') = 'deleted'
               or e.state = 'enabled' and e.changed_at < idle_since
                  and not exists (select from postrider.endpoint_stat_hourly as h
                                  where h.endpoint_no = e.endpoint_no
                                    and greatest(h.last_success_at, h.last_failure_at) >= idle_since)
                  and not exists (select from postrider.endpoint_stat as s where s.endpoint_no = e.endpoint_no)
                  and not exists (select from postrider.delivery as d where d.endpoint_no = e.endpoint_no and d.due_at is not null)
                  -- Nor one that failed and holds up its key.
                  and not exists (select from postrider.delivery as d where d.endpoint_no = e.endpoint_no and d.lane is not null)
                  and not exists (select from postrider.claimed_delivery as h where h.endpoint_no = e.endpoint_no))
        limit 1000
        for update of e skip locked);
    if cardinality(idle) > 0 then
        update postrider.endpoint as e
        set state = 'deleted', changed_at = now(),
            reason = case when exists (select from postrider.endpoint as t where t.endpoint_no = e.template_no and t.state <> 'deleted')
                          then 'idle' else 'deleted' end
        where e.endpoint_no = any (idle);
    end if;
    return cardinality(idle);
end
$$;
comment on function postrider.forget_children(timestamptz) is
    'Deletes endpoints of templates that had no delivery since a time; returns how many. If it returns 1000, there may be more. Private.';
revoke all on function postrider.forget_children(timestamptz) from public;
grant execute on function postrider.forget_children(timestamptz) to postrider_dispatcher;
