create or replace function postrider.resume_endpoint(id text, out endpoint_id text, out state text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update postrider.endpoint as e set state = 'enabled', reason = null, changed_at = now()
    where e.id = resume_endpoint.id and e.state <> 'deleted'
    returning e.id, e.state into endpoint_id, resume_endpoint.state;
    if not found then
        raise exception 'endpoint "%" does not exist', left(resume_endpoint.id, 64) using errcode = 'no_data_found';
    end if;
end
$$;
comment on function postrider.resume_endpoint(text) is
    'Enables a paused or disabled endpoint and closes its circuit. Waiting deliveries are attempted. Returns (endpoint_id, state). '
    'Raises P0002 for an unknown id.';
revoke all on function postrider.resume_endpoint(text) from public;
grant execute on function postrider.resume_endpoint(text) to postrider_dispatcher;
