create or replace function postrider.pause_endpoint(id text, inout reason text default null, out endpoint_id text, out state text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- A second pause without a reason keeps the reason of the first.
    update postrider.endpoint as e
    set state = 'paused', changed_at = now(),
        reason = coalesce(left(pause_endpoint.reason, 500), case when e.state = 'paused' then e.reason end),
        paused_at = case when e.state = 'paused' then e.paused_at else clock_timestamp() end
    where e.id = pause_endpoint.id and e.state <> 'deleted'
    returning e.reason, e.id, e.state into pause_endpoint.reason, endpoint_id, pause_endpoint.state;
    if not found then
        raise exception 'endpoint "%" does not exist', left(pause_endpoint.id, 64) using errcode = 'no_data_found';
    end if;
end
$$;
comment on function postrider.pause_endpoint(text, text) is
    'Stops attempts, for a reason that endpoint_health shows; of a template, those of all its endpoints. Deliveries wait as pending and '
    'nothing is lost. Returns (reason, '
    'endpoint_id, state); paused again without a reason, it keeps the one it has. Raises P0002 for an unknown id.';
revoke all on function postrider.pause_endpoint(text, text) from public;
grant execute on function postrider.pause_endpoint(text, text) to postrider_dispatcher;
