-- A face with named arguments over postrider.write_endpoint, which checks them all. A setting is an argument here, and a line of the
-- document. Null is an argument that was not named.
create or replace function postrider.put_endpoint(
    id text, url text, topics text[] default null, headers jsonb default null, secret text default null,
    max_in_flight integer default null, rate_limit text default null, timeout interval default null,
    retry_schedule interval[] default null, ordered boolean default null, on_failed text default null,
    format text default null, signing_key text default null, auth text default null,
    ca_certificates text default null, client_certificate text default null, public_key text default null,
    new_secret_if_created text default null, description text default null,
    allow_http boolean default null, allow_cidr cidr[] default null,
    out endpoint_id text, out result text, out new_secret text
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    named   jsonb;
    changes text[];
    change  text;
begin
    select jsonb_object_agg(a.name, a.value) into named
    from jsonb_each(jsonb_build_object(
        'url', put_endpoint.url,
        'topics', put_endpoint.topics,
        'headers', put_endpoint.headers,
        'secret', put_endpoint.secret,
        'max_in_flight', put_endpoint.max_in_flight,
        'rate_limit', put_endpoint.rate_limit,
        'timeout', put_endpoint.timeout,
        'retry_schedule', put_endpoint.retry_schedule,
        'ordered', put_endpoint.ordered,
        'on_failed', put_endpoint.on_failed,
        'format', put_endpoint.format,
        'signing_key', put_endpoint.signing_key,
        'auth', put_endpoint.auth,
        'ca_certificates', put_endpoint.ca_certificates,
        'client_certificate', put_endpoint.client_certificate,
        'public_key', put_endpoint.public_key,
        'new_secret_if_created', put_endpoint.new_secret_if_created,
        'description', put_endpoint.description,
        'allow_http', put_endpoint.allow_http,
        'allow_cidr', put_endpoint.allow_cidr)) as a (name, value)
    where a.value <> 'null';
    select w.endpoint_id, w.result, w.new_secret, w.changes
    into put_endpoint.endpoint_id, put_endpoint.result, put_endpoint.new_secret, changes
    from postrider.write_endpoint(put_endpoint.id, coalesce(named, '{}')) as w;
    -- Not a column more: callers know the three.
    foreach change in array changes loop
        raise notice 'endpoint "%": %', put_endpoint.endpoint_id, change;
    end loop;
end
$$;
comment on function postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean, text, text, text, text, text, text, text, text, text, boolean, cidr[]) is
    'Creates the endpoint, or changes what is named; a null argument is not named. A setting that is not named is kept. In a new endpoint '
    'it has its default. The word none removes rate_limit, signing_key, auth, ca_certificates or client_certificate; '
    'postrider.set_endpoint gives any setting its default. Where url leads to another host, a login must be named again: auth, '
    'client_certificate, or a header authorization or cookie. '
    'With ordered, the deliveries of one key are attempted one after the other, in order of their events; on_failed says what one that '
    'failed for good does to its key: block or continue. '
    'A name in braces in url makes a template: an event whose destination is ID/VALUE goes to the URL with the value in it. allow_http '
    'and allow_cidr are for templates, and narrow what run allows. Where that name decides the host, a login needs allow_cidr. '
    'The same call twice changes nothing, and a paused endpoint stays paused. Each change is told in a notice. '
    'Returns (endpoint_id, result: created | changed | unchanged, new_secret: only where the call created the endpoint and named no secret; it is new_secret_if_created, or else generated). Raises 22023 for an invalid argument, 54000 beyond endpoints_max.';
revoke all on function postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean, text, text, text, text, text, text, text, text, text, boolean, cidr[]) from public;
grant execute on function postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean, text, text, text, text, text, text, text, text, text, boolean, cidr[])
    to postrider_dispatcher;
