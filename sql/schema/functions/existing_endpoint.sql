create or replace function postrider.existing_endpoint(id text) returns postrider.endpoint
-- Volatile, so that it sees an endpoint that the calling statement itself has put.
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    found_endpoint postrider.endpoint;
begin
    select * into found_endpoint from postrider.endpoint as e where e.id = existing_endpoint.id and e.state <> 'deleted';
    if found_endpoint.endpoint_no is null then
        raise exception 'endpoint "%" does not exist', left(existing_endpoint.id, 64) using errcode = 'no_data_found';
    end if;
    return found_endpoint;
end
$$;
comment on function postrider.existing_endpoint(text) is 'Returns the endpoint of that id; raises P0002 if it does not exist. Private.';
revoke all on function postrider.existing_endpoint(text) from public;
grant execute on function postrider.existing_endpoint(text) to postrider_dispatcher;
