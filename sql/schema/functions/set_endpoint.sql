-- A face over postrider.write_endpoint for a change of some settings, as PATCH of the API and "postrider endpoint set".
create or replace function postrider.set_endpoint(id text, changes jsonb, out endpoint_id text, out result text, out changed text[])
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    select w.endpoint_id, w.result, w.changes into set_endpoint.endpoint_id, set_endpoint.result, set_endpoint.changed
    from postrider.write_endpoint(set_endpoint.id, set_endpoint.changes, is_set => true) as w;
end
$$;
comment on function postrider.set_endpoint(text, jsonb) is
    'Changes the settings of an endpoint that changes names, a JSON object with the arguments of postrider.put_endpoint, and keeps all '
    'others: {"topics": ["order.*"], "rate_limit": null}. Null gives the default. headers changes the headers that it names, and null '
    'removes one. auth may be an object. Returns (endpoint_id, result: changed | unchanged, changed: a line for each setting, as '
    '"topics: order.* -> **"). Raises P0002 for an unknown id, 22023 for an invalid change.';
revoke all on function postrider.set_endpoint(text, jsonb) from public;
grant execute on function postrider.set_endpoint(text, jsonb) to postrider_dispatcher;
