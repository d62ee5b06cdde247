create or replace function postrider.put_endpoint(
    id text, url text, topics text[] default '{**}', headers jsonb default '{}', secret text default null,
    max_in_flight integer default 64, rate_limit text default null, timeout interval default null,
    retry_schedule interval[] default null, ordered boolean default false,
    format text default 'webhook', signing_key text default null, auth text default null,
    ca_certificates text default null, client_certificate text default null, public_key text default null,
    new_secret_if_created text default null,
    out endpoint_id text, out result text, out new_secret text
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    old   postrider.endpoint;
    new   postrider.endpoint;
    wrong text;
    kept  text;
begin
    wrong := case
        when coalesce(put_endpoint.id, '') !~ '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$' then
            'id: 1 to 64 of [A-Za-z0-9._-], not starting with a full stop'
        when postrider.is_endpoint_url(put_endpoint.url) is not true then
            'url: https://host/path of at most 2048 bytes, without credentials, fragment, spaces or backslashes'
        when put_endpoint.topics is null or cardinality(put_endpoint.topics) > 100 or not postrider.are_topic_patterns(put_endpoint.topics) then
            'topics: up to 100 patterns of dotted words of [A-Za-z0-9_-] or * (one word), ** only at the end, 128 bytes each'
        when put_endpoint.headers is null or not postrider.are_headers_valid(put_endpoint.headers) then
            'headers: an object of strings; names are HTTP tokens and not reserved, values are visible ASCII'
        when put_endpoint.secret is not null and not postrider.is_signing_secret(put_endpoint.secret) then
            'secret: whsec_ followed by base64 of 24 to 64 bytes'
        when put_endpoint.new_secret_if_created is not null and not postrider.is_signing_secret(put_endpoint.new_secret_if_created) then
            'new_secret_if_created: whsec_ followed by base64 of 24 to 64 bytes'
        when coalesce(put_endpoint.max_in_flight, 0) not between 1 and 10000 then
            'max_in_flight: 1 to 10000'
        when put_endpoint.rate_limit is not null and put_endpoint.rate_limit !~ '^[1-9][0-9]{0,6}/[smh]$' then
            'rate_limit: a number per s, m or h, as 50/s'
        when put_endpoint.timeout is not null and put_endpoint.timeout not between interval '100 milliseconds' and interval '5 minutes' then
            'timeout: 100 ms to 5 minutes'
        when put_endpoint.retry_schedule is not null and not postrider.is_retry_schedule(put_endpoint.retry_schedule) then
            'retry_schedule: 1 to 50 delays of 1 ms to 7 days'
        when coalesce(put_endpoint.ordered, true) then
            'ordered: order per key is not available yet'
        when coalesce(put_endpoint.format, '') not in ('webhook', 'cloudevents-binary', 'cloudevents-structured') then
            'format: webhook, cloudevents-binary or cloudevents-structured'
        when put_endpoint.signing_key <> 'none' and not postrider.is_signing_key(put_endpoint.signing_key)
            or postrider.is_sealed(put_endpoint.signing_key) and put_endpoint.public_key is null then
            'signing_key: whsk_ followed by base64 of 64 bytes (seed and public key), or none'
        when put_endpoint.public_key !~ '^whpk_[A-Za-z0-9+/]{43}=$' then
            'public_key: whpk_ followed by base64 of 32 bytes'
        when put_endpoint.auth <> 'none' and not postrider.is_auth(put_endpoint.auth) then
            'auth: JSON of type basic (username, password), bearer (token) or oauth2 (token_url, client_id, client_secret, scope), or none'
        when not postrider.is_pem(put_endpoint.ca_certificates) then
            'ca_certificates: PEM of at most 64 KiB'
        when put_endpoint.client_certificate <> 'none' and not postrider.is_pem(put_endpoint.client_certificate)
            and not postrider.is_sealed(put_endpoint.client_certificate) then
            'client_certificate: PEM of at most 64 KiB, the certificate and its private key, or none'
    end;
    if wrong is not null then
        raise exception 'endpoint "%": invalid %', left(put_endpoint.id, 64), split_part(wrong, ':', 1)
            using errcode = 'invalid_parameter_value', detail = 'Allowed is ' || wrong;
    end if;

    -- What refers to the row (circuit, counts) does not wait: its number stays.
    select * into old from postrider.endpoint as e where e.id = put_endpoint.id and e.state <> 'deleted' for no key update;
    if not found then
        -- Two calls for one new id at once: the second waits here and then finds the row. Not before it has looked for the row, or
        -- it would hold this lock, and wait for a transaction that has deleted the endpoint and puts it again.
        perform pg_advisory_xact_lock(hashtextextended('postrider.endpoint.' || put_endpoint.id, 0));
        select * into old from postrider.endpoint as e where e.id = put_endpoint.id and e.state <> 'deleted' for no key update;
    end if;
    endpoint_id := put_endpoint.id;
    new := old;
    new.url := put_endpoint.url;
    new.topics := put_endpoint.topics;
    new.headers := put_endpoint.headers;
    new.max_in_flight := put_endpoint.max_in_flight;
    new.rate_limit := put_endpoint.rate_limit;
    new.timeout := put_endpoint.timeout;
    new.retry_schedule := put_endpoint.retry_schedule;
    new.format := put_endpoint.format;
    new.ca_certificates := put_endpoint.ca_certificates;
    -- What nobody is shown again is kept unless it is named: who reads, changes and puts back loses nothing.
    new.secret := coalesce(put_endpoint.secret, old.secret);
    new.auth := nullif(coalesce(put_endpoint.auth, old.auth), 'none');
    new.client_certificate := nullif(coalesce(put_endpoint.client_certificate, old.client_certificate), 'none');
    if put_endpoint.signing_key is not null then
        new.signing_key := nullif(put_endpoint.signing_key, 'none');
        new.public_key := case
            when new.signing_key is null then null
            when postrider.is_sealed(new.signing_key) then put_endpoint.public_key
            else 'whpk_' || encode(substr(decode(substr(new.signing_key, 6), 'base64'), 33), 'base64') end;
    end if;
    if old.no is null then
        if (select s.last_value from postrider.endpoint_no_seq as s) >= (select i.endpoints_max from postrider.installation as i)
           and (select count(*) from postrider.endpoint as e where e.state <> 'deleted')
               >= (select i.endpoints_max from postrider.installation as i) then
            raise exception 'endpoint "%": the limit of % endpoints is reached', put_endpoint.id,
                    (select i.endpoints_max from postrider.installation as i)
                using errcode = 'program_limit_exceeded',
                      hint = 'Delete endpoints, or raise postrider.installation.endpoints_max.';
        end if;
        -- Here alone: nobody is told a secret that is not this endpoint's.
        new_secret := case when put_endpoint.secret is null
            then coalesce(put_endpoint.new_secret_if_created, postrider.random_secret()) end;
        insert into postrider.endpoint (id, url, topics, headers, secret, max_in_flight, rate_limit, timeout, retry_schedule,
            format, signing_key, public_key, auth, ca_certificates, client_certificate)
        values (put_endpoint.id, new.url, new.topics, new.headers, coalesce(new.secret, new_secret), new.max_in_flight,
                new.rate_limit, new.timeout, new.retry_schedule,
                new.format, new.signing_key, new.public_key, new.auth, new.ca_certificates, new.client_certificate);
        result := 'created';
        return;
    end if;
    -- Or whoever may move an endpoint, and does not know its login, would be sent it. Compared as they stand, case apart.
    kept := case
        when old.auth is not null and put_endpoint.auth is null then 'auth'
        when old.client_certificate is not null and put_endpoint.client_certificate is null then 'client_certificate' end;
    if kept is not null
       and lower(substring(old.url from '^[^:]*:/*[^/?#\\]*') collate "C")
           is distinct from lower(substring(new.url from '^[^:]*:/*[^/?#\\]*') collate "C") then
        raise exception 'endpoint "%": % is not taken along to another host', old.id, kept
            using errcode = 'invalid_parameter_value', detail = 'Allowed is to name ' || kept || ' again with the new url, or none';
    end if;
    if new is not distinct from old then
        result := 'unchanged';
        return;
    end if;
    if new.secret <> old.secret then
        -- Whoever names a new secret wants that one: rotate_secret is the gentle way.
        delete from postrider.old_secret as s where s.endpoint_no = old.no;
    end if;
    update postrider.endpoint as e
    set url = new.url, topics = new.topics, headers = new.headers, secret = new.secret, max_in_flight = new.max_in_flight,
        rate_limit = new.rate_limit, timeout = new.timeout, retry_schedule = new.retry_schedule, format = new.format,
        signing_key = new.signing_key, public_key = new.public_key, auth = new.auth,
        ca_certificates = new.ca_certificates, client_certificate = new.client_certificate, changed_at = now()
    where e.no = old.no;
    result := 'changed';
end
$$;
comment on function postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean, text, text, text, text, text, text, text) is
    'Creates the endpoint or replaces all it says; secret, signing_key, auth and client_certificate are kept if none is given, and the last three removed by ''none''; auth and client_certificate must be named where url leads to another host. '
    'The same call twice changes nothing, and a paused endpoint stays paused. '
    'Returns (endpoint_id, result: created | changed | unchanged, new_secret: only where the call created the endpoint and named no secret; it is new_secret_if_created, or else generated). Raises 22023 for an invalid argument, 54000 beyond endpoints_max.';
revoke all on function postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean, text, text, text, text, text, text, text) from public;
grant execute on function postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean, text, text, text, text, text, text, text)
    to postrider_dispatcher;
