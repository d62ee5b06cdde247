-- A face with named arguments over postrider.write_endpoint, which checks them all. A setting is an argument here, and a line of the
-- document.
create or replace function postrider.put_endpoint(
    id text, url text, topics text[] default '{**}', headers jsonb default '{}', secret text default null,
    max_in_flight integer default 64, rate_limit text default null, timeout interval default null,
    retry_schedule interval[] default null, ordered boolean default false,
    format text default 'webhook', signing_key text default null, auth text default null,
    ca_certificates text default null, client_certificate text default null, public_key text default null,
    new_secret_if_created text default null, description text default null,
    out endpoint_id text, out result text, out new_secret text
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    select w.endpoint_id, w.result, w.new_secret into put_endpoint.endpoint_id, put_endpoint.result, put_endpoint.new_secret
    from postrider.write_endpoint(put_endpoint.id, jsonb_build_object(
        'url', put_endpoint.url,
        'topics', put_endpoint.topics,
        'headers', put_endpoint.headers,
        'secret', put_endpoint.secret,
        'max_in_flight', put_endpoint.max_in_flight,
        'rate_limit', put_endpoint.rate_limit,
        'timeout', put_endpoint.timeout,
        'retry_schedule', put_endpoint.retry_schedule,
        'ordered', put_endpoint.ordered,
        'format', put_endpoint.format,
        'signing_key', put_endpoint.signing_key,
        'auth', put_endpoint.auth,
        'ca_certificates', put_endpoint.ca_certificates,
        'client_certificate', put_endpoint.client_certificate,
        'public_key', put_endpoint.public_key,
        'new_secret_if_created', put_endpoint.new_secret_if_created,
        'description', put_endpoint.description)) as w;
end
$$;
comment on function postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean, text, text, text, text, text, text, text, text) is
    'Creates the endpoint or replaces all it says; secret, signing_key, auth and client_certificate are kept if none is given, and the last three removed by ''none''; auth and client_certificate must be named where url leads to another host. '
    'The same call twice changes nothing, and a paused endpoint stays paused. '
    'Returns (endpoint_id, result: created | changed | unchanged, new_secret: only where the call created the endpoint and named no secret; it is new_secret_if_created, or else generated). Raises 22023 for an invalid argument, 54000 beyond endpoints_max.';
revoke all on function postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean, text, text, text, text, text, text, text, text) from public;
grant execute on function postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean, text, text, text, text, text, text, text, text)
    to postrider_dispatcher;
