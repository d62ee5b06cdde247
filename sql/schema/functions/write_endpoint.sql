-- The one place that checks and writes the settings of an endpoint: for postrider.put_endpoint, postrider.set_endpoint, the command line
-- and the API. A setting is a column of postrider.endpoint. Here it has a check, a default unless that is null, and its name in the
-- insert and the update. A setting that is not named is kept. With is_set the endpoint must exist, and headers are changed one by one.
create or replace function postrider.write_endpoint(
    id text, settings jsonb, is_set boolean default false,
    out endpoint_id text, out result text, out new_secret text, out changes text[]
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    -- Columns that a put leaves as they are.
    no_settings constant text[] := '{endpoint_no,id,state,reason,created_at,changed_at,disabled_at,paused_at,template_no}';
    defaults constant jsonb := '{"topics": ["**"], "headers": {}, "max_in_flight": 64, "ordered": false, "on_failed": "block",
                                 "format": "webhook"}';
    -- The word none removes these, as null does.
    optional constant text[] := '{rate_limit,signing_key,auth,ca_certificates,client_certificate}';
    -- Headers with which requests log in.
    logins  constant text[] := '{authorization,cookie}';
    -- Headers that only the receiver may know, by their names.
    secrets constant text := '(auth|cookie|credential|key|password|secret|session|signature|token)';
    -- The settings that were named; those named with null have their defaults.
    named   jsonb;
    old     postrider.endpoint;
    given   postrider.endpoint;
    new     postrider.endpoint;
    unknown text;
    wrong   text;
    kept    text;
    login   text;
begin
    if jsonb_typeof(write_endpoint.settings) is distinct from 'object' then
        raise exception 'endpoint "%": invalid settings', left(write_endpoint.id, 64)
            using errcode = 'invalid_parameter_value', detail = 'Allowed is a JSON object';
    end if;
    -- A secret has no default that could take its place.
    select coalesce(jsonb_object_agg(s.name, case
               when s.value = 'null' or s.value = '"none"' and s.name = any (optional) then coalesce(defaults -> s.name, 'null')
               when s.name = 'headers' and is_set and jsonb_typeof(s.value) = 'object' then jsonb_strip_nulls(s.value)
               else s.value end), '{}')
    into named
    from jsonb_each(write_endpoint.settings) as s (name, value)
    where not (s.name = 'new_secret_if_created' and not is_set) and not (s.name in ('secret', 'public_key') and s.value = 'null');
    select min(s.name) into unknown
    from jsonb_object_keys(named) as s (name)
    where not (to_jsonb(jsonb_populate_record(null::postrider.endpoint, defaults)) - no_settings) ? s.name;
    if unknown is not null then
        raise exception 'endpoint "%": unknown setting "%"', left(write_endpoint.id, 64), left(unknown, 64)
            using errcode = 'invalid_parameter_value', detail = 'Allowed is what postrider.put_endpoint has an argument for';
    end if;
    begin
        given := jsonb_populate_record(null::postrider.endpoint, defaults || named);
    exception when data_exception then
        -- Which one it was. The value is not shown: it may be a secret.
        for wrong in select s.name from jsonb_object_keys(named) as s (name) order by s.name loop
            begin
                perform jsonb_populate_record(null::postrider.endpoint, jsonb_build_object(wrong, named -> wrong));
            exception when data_exception then
                raise exception 'endpoint "%": invalid %', left(write_endpoint.id, 64), wrong
                    using errcode = 'invalid_parameter_value',
                          detail = 'Allowed is ' || wrong || ': what postrider.put_endpoint takes, as JSON';
            end;
        end loop;
        raise;
    end;
    wrong := case
        when write_endpoint.id ~ '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}/' then
            'id: that of the template, "' || split_part(write_endpoint.id, '/', 1) || '", whose settings its endpoints have'
        when coalesce(write_endpoint.id, '') !~ '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$' then
            'id: 1 to 64 of [A-Za-z0-9._-], not starting with a full stop'
        when (named ? 'url' or not is_set) and postrider.is_endpoint_url(given.url) is not true then
            'url: https://host/path of at most 2048 bytes, without credentials, fragment, spaces or backslashes; the host has letters, digits, - and _; one name in braces stands in the host, is the port, or stands in a segment of the path'
        when cardinality(given.topics) > 100 or not postrider.are_topic_patterns(given.topics) then
            'topics: up to 100 patterns of dotted words of [A-Za-z0-9_-] or * (one word), ** only at the end, 128 bytes each'
        when not postrider.are_headers_valid(given.headers) then
            'headers: an object of strings, 8192 bytes in all; names are HTTP tokens and not reserved, values are visible ASCII'
        when given.secret is not null and not postrider.is_signing_secret(given.secret) then
            'secret: whsec_ followed by base64 of 24 to 64 bytes'
        when not postrider.is_signing_secret(write_endpoint.settings ->> 'new_secret_if_created') then
            'new_secret_if_created: whsec_ followed by base64 of 24 to 64 bytes'
        when given.max_in_flight not between 1 and 10000 then
            'max_in_flight: 1 to 10000'
        when given.rate_limit is not null and given.rate_limit !~ '^[1-9][0-9]{0,6}/[smh]$' then
            'rate_limit: a number per s, m or h, as 50/s'
        when given.timeout is not null and given.timeout not between interval '100 milliseconds' and interval '5 minutes' then
            'timeout: 100 ms to 5 minutes'
        when given.retry_schedule is not null and not postrider.is_retry_schedule(given.retry_schedule) then
            'retry_schedule: 1 to 50 delays of 1 ms to 7 days'
        when given.on_failed not in ('block', 'continue') then
            'on_failed: block (a failed delivery holds up its key) or continue'
        when given.format not in ('webhook', 'cloudevents-binary', 'cloudevents-structured') then
            'format: webhook, cloudevents-binary or cloudevents-structured'
        when not postrider.is_signing_key(given.signing_key)
            or postrider.is_sealed(given.signing_key) and given.public_key is null then
            'signing_key: whsk_ followed by base64 of 64 bytes (seed and public key), or none'
        when given.public_key !~ '^whpk_[A-Za-z0-9+/]{43}=$' then
            'public_key: whpk_ followed by base64 of 32 bytes'
        when not postrider.is_auth(given.auth) then
            'auth: JSON of type basic (username, password), bearer (token) or oauth2 (token_url, client_id, client_secret, scope), or none'
        when not postrider.is_pem(given.ca_certificates) then
            'ca_certificates: PEM of at most 64 KiB'
        when not postrider.is_pem(given.client_certificate) and not postrider.is_sealed(given.client_certificate) then
            'client_certificate: PEM of at most 64 KiB, the certificate and its private key, or none'
        when char_length(given.description) > 500 then
            'description: at most 500 characters'
        when cardinality(given.allow_cidr) not between 1 and 100 then
            'allow_cidr: 1 to 100 ranges of addresses, as 10.0.0.0/8, or null'
    end;
    if wrong is not null then
        raise exception 'endpoint "%": invalid %', left(write_endpoint.id, 64), split_part(wrong, ':', 1)
            using errcode = 'invalid_parameter_value', detail = 'Allowed is ' || wrong;
    end if;

    -- Rows that refer to this one (circuit, counts) do not wait for this lock, because its number stays.
    select * into old from postrider.endpoint as e where e.id = write_endpoint.id and e.state <> 'deleted' for no key update;
    if not found and is_set then
        raise exception 'endpoint "%" does not exist', left(write_endpoint.id, 64) using errcode = 'no_data_found';
    elsif not found then
        -- Two calls for one new id at once: the second waits here and then finds the row. Not before it has looked for the row, or
        -- it would hold this lock, and wait for a transaction that has deleted the endpoint and puts it again.
        perform pg_advisory_xact_lock(hashtextextended('postrider.endpoint.' || write_endpoint.id, 0));
        select * into old from postrider.endpoint as e where e.id = write_endpoint.id and e.state <> 'deleted' for no key update;
    end if;
    endpoint_id := write_endpoint.id;
    changes := '{}';
    -- A setting that is not named stays. So a caller who reads an endpoint, changes one setting and puts the result loses nothing.
    new := jsonb_populate_record(old, case when old.endpoint_no is null then defaults else '{}' end || named);
    if is_set and jsonb_typeof(write_endpoint.settings -> 'headers') = 'object' then
        -- JSON Merge Patch (RFC 7396), but names of headers are the same in capitals.
        select coalesce(jsonb_object_agg(h.name, h.value), '{}') || given.headers into new.headers
        from jsonb_each(old.headers) as h (name, value)
        where lower(h.name collate "C") not in (select lower(n.name collate "C")
                                                from jsonb_object_keys(write_endpoint.settings -> 'headers') as n (name));
    end if;
    wrong := case
        when old.endpoint_no is not null and postrider.is_template(old.url) and not postrider.is_template(new.url) then
            'url: one with a name in braces, because this is a template; or delete it first'
        when old.endpoint_no is not null and postrider.is_template(new.url) and not postrider.is_template(old.url) then
            'url: one without a name in braces, because this is no template; or delete it first'
        when not postrider.is_template(new.url) and given.allow_http is not null then
            'allow_http: only for a template, whose url has a name in braces'
        when not postrider.is_template(new.url) and given.allow_cidr is not null then
            'allow_cidr: only for a template, whose url has a name in braces'
        when postrider.is_template(new.url) and jsonb_typeof(write_endpoint.settings -> 'topics') = 'array'
            and jsonb_array_length(write_endpoint.settings -> 'topics') > 0 then
            'topics: none, because a template gets only events whose destination has a value for it'
    end;
    if wrong is not null then
        raise exception 'endpoint "%": invalid %', left(write_endpoint.id, 64), split_part(wrong, ':', 1)
            using errcode = 'invalid_parameter_value', detail = 'Allowed is ' || wrong;
    end if;
    if postrider.is_template(new.url) then
        new.topics := '{}';
    end if;
    wrong := case
        when not postrider.are_headers_valid(new.headers) then 'headers: 8192 bytes in all'
        when named ?| '{auth,headers}' and new.auth is not null
            and exists (select from jsonb_object_keys(new.headers) as h (name) where lower(h.name collate "C") = 'authorization') then
            'headers: without authorization, which is what auth sends' end;
    if wrong is not null then
        raise exception 'endpoint "%": invalid headers', left(write_endpoint.id, 64)
            using errcode = 'invalid_parameter_value', detail = 'Allowed is ' || wrong;
    end if;
    -- Whoever writes an event, or a row of an attached table, chooses such a host.
    login := case
        when not postrider.is_host_open(new.url) then null
        when new.auth is not null then 'auth'
        when new.client_certificate is not null then 'client_certificate'
        else (select 'header ' || min(h.name) from jsonb_object_keys(new.headers) as h (name)
              where lower(h.name collate "C") ~ secrets) end;
    if login is not null and new.allow_cidr is null then
        raise exception 'endpoint "%": % would be sent to any host that an event names', write_endpoint.id, login
            using errcode = 'invalid_parameter_value',
                  detail = 'Allowed is ' || login || ' with allow_cidr, or where your domain follows the value, as in https://{name}.example.com/';
    end if;
    new.public_key := case
        when not named ? 'signing_key' then old.public_key
        when new.signing_key is null then null
        when postrider.is_sealed(new.signing_key) then given.public_key
        else 'whpk_' || encode(substr(decode(substr(new.signing_key, 6), 'base64'), 33), 'base64') end;
    if old.endpoint_no is null then
        if (select s.last_value from postrider.endpoint_endpoint_no_seq as s) >= (select i.endpoints_max from postrider.installation as i)
           and (select count(*) from postrider.endpoint as e where e.state <> 'deleted')
               >= (select i.endpoints_max from postrider.installation as i) then
            raise exception 'endpoint "%": the limit of % endpoints is reached', write_endpoint.id,
                    (select i.endpoints_max from postrider.installation as i)
                using errcode = 'program_limit_exceeded',
                      hint = 'Delete endpoints, or raise postrider.installation.endpoints_max.';
        end if;
        -- Here alone: nobody is told a secret that is not this endpoint's.
        new_secret := case when given.secret is null
            then coalesce(write_endpoint.settings ->> 'new_secret_if_created', postrider.random_secret()) end;
        insert into postrider.endpoint (id, url, topics, headers, secret, max_in_flight, rate_limit, timeout, retry_schedule,
            ordered, on_failed, format, signing_key, public_key, auth, ca_certificates, client_certificate, description, allow_http,
            allow_cidr)
        values (write_endpoint.id, new.url, new.topics, new.headers, coalesce(new.secret, new_secret), new.max_in_flight,
                new.rate_limit, new.timeout, new.retry_schedule, new.ordered, new.on_failed, new.format, new.signing_key,
                new.public_key, new.auth, new.ca_certificates, new.client_certificate, new.description, new.allow_http, new.allow_cidr);
        result := 'created';
        return;
    end if;
    -- Or whoever may move an endpoint, and does not know its login, would be sent it. Compared as they stand, case apart.
    kept := case
        when old.auth is not null and not named ? 'auth' then 'auth'
        when old.client_certificate is not null and not named ? 'client_certificate' then 'client_certificate'
        else (select 'header ' || min(h.name) from jsonb_object_keys(new.headers) as h (name)
              where lower(h.name collate "C") = any (logins) and (not named ? 'headers' or not given.headers ? h.name)) end;
    if kept is not null
       -- E, because the caller's standard_conforming_strings may be off.
       and lower(substring(old.url from E'^[^:]*:/*[^/?#\\\\]*') collate "C")
           is distinct from lower(substring(new.url from E'^[^:]*:/*[^/?#\\\\]*') collate "C") then
        raise exception 'endpoint "%": % is not taken along to another host', old.id, kept
            using errcode = 'invalid_parameter_value', detail = 'Allowed is to name ' || kept || ' again with the new url, or none';
    end if;
    if kept is not null and login is not null and exists (
        select from unnest(new.allow_cidr) as n (range)
        where not exists (select from unnest(old.allow_cidr) as o (range) where n.range <<= o.range))
    then
        raise exception 'endpoint "%": % is not taken along to more addresses', old.id, kept
            using errcode = 'invalid_parameter_value', detail = 'Allowed is to name ' || kept || ' again with the new allow_cidr, or none';
    end if;
    if new is not distinct from old then
        result := 'unchanged';
        return;
    end if;
    changes := postrider.changed_settings(old, new);
    if new.secret <> old.secret then
        -- A put that names a new secret wants that one: rotate_secret is the gentle way.
        delete from postrider.old_secret as s where s.endpoint_no = old.endpoint_no;
    end if;
    update postrider.endpoint as e
    set url = new.url, topics = new.topics, headers = new.headers, secret = new.secret, max_in_flight = new.max_in_flight,
        rate_limit = new.rate_limit, timeout = new.timeout, retry_schedule = new.retry_schedule, ordered = new.ordered,
        on_failed = new.on_failed, format = new.format, signing_key = new.signing_key, public_key = new.public_key, auth = new.auth,
        ca_certificates = new.ca_certificates, client_certificate = new.client_certificate, description = new.description,
        allow_http = new.allow_http, allow_cidr = new.allow_cidr,
        changed_at = now()
    where e.endpoint_no = old.endpoint_no;
    result := 'changed';
end
$$;
comment on function postrider.write_endpoint(text, jsonb, boolean) is
    'What postrider.put_endpoint does, or postrider.set_endpoint (is_set), its arguments as a JSON object: a name that is left out keeps its '
    'value, null gives the default. Private.';
revoke all on function postrider.write_endpoint(text, jsonb, boolean) from public;
grant execute on function postrider.write_endpoint(text, jsonb, boolean) to postrider_dispatcher;
