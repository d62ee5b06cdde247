-- why: who receives events, how, and within which limits.
-- old code: none.

create function postrider.are_topic_patterns(patterns text[]) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return (select coalesce(bool_and(p is not null and octet_length(p) <= 128
            and p ~ '^(([A-Za-z0-9_-]+|\*)\.)*([A-Za-z0-9_-]+|\*|\*\*)$'), true)
        from unnest(patterns) as p);
comment on function postrider.are_topic_patterns(text[]) is
    'Whether each is dotted words of [A-Za-z0-9_-] or * (exactly one word), with ** (one or more words) allowed at the end or alone.';

create function postrider.is_retry_schedule(delays interval[]) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return cardinality(delays) between 1 and 50
   and (select bool_and(d is not null and d between interval '1 millisecond' and interval '7 days') from unnest(delays) as d);
comment on function postrider.is_retry_schedule(interval[]) is 'Whether it is 1 to 50 delays of 1 ms to 7 days.';

create function postrider.is_signing_secret(secret text) returns boolean
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
    return secret ~ '^whsec_[A-Za-z0-9+/]+=*$' and octet_length(decode(substr(secret, 7), 'base64')) between 24 and 64;
exception when data_exception then
    return false;
end
$$;
comment on function postrider.is_signing_secret(text) is 'Whether it is whsec_ and base64 of 24 to 64 bytes (Standard Webhooks 1.0.0).';

create table postrider.endpoint (
    no             integer     generated always as identity primary key,
    id             text        not null unique check (id ~ '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$'),
    url            text        not null check (url ~ '^https?://[^[:space:][:cntrl:]@\\#]+$' and octet_length(url) <= 2048),
    topics         text[]      not null check (cardinality(topics) <= 100 and postrider.are_topic_patterns(topics)),
    headers        jsonb       not null default '{}' check (postrider.are_headers_valid(headers)),
    secret         text        not null check (postrider.is_signing_secret(secret)),
    max_in_flight  integer     not null default 64 check (max_in_flight between 1 and 10000),
    rate_limit     text        check (rate_limit ~ '^[1-9][0-9]{0,6}/[smh]$'),
    timeout        interval    check (timeout between interval '100 milliseconds' and interval '5 minutes'),
    retry_schedule interval[]  check (postrider.is_retry_schedule(retry_schedule)),
    ordered        boolean     not null default false,
    state          text        not null default 'enabled' check (state in (
        'enabled',    -- deliveries are attempted
        'paused',     -- somebody paused it: deliveries wait
        'disabled')), -- Postrider gave up on it (410 Gone): deliveries wait, see reason
    reason         text,
    created_at     timestamptz not null default now(),
    changed_at     timestamptz not null default now()
);
comment on table postrider.endpoint is 'Who receives events. Holds signing secrets: not readable by postrider_reader. Change it with postrider.put_endpoint and its siblings.';
comment on column postrider.endpoint.no is 'Private short key.';
comment on column postrider.endpoint.id is 'Chosen by its owner: 1 to 64 of [A-Za-z0-9._-], not starting with a full stop.';
comment on column postrider.endpoint.url is 'https://host/path, at most 2048 bytes, no credentials, no fragment; http:// only works where the dispatcher runs with --allow-http.';
comment on column postrider.endpoint.topics is 'Up to 100 patterns; an event is delivered once however many match. Empty: only events whose destination names this endpoint.';
comment on column postrider.endpoint.headers is 'Object of strings, sent with every request.';
comment on column postrider.endpoint.secret is 'Signing secret: whsec_ and base64 of 24 to 64 bytes.';
comment on column postrider.endpoint.max_in_flight is 'Requests under way at once, 1 to 10000, over all dispatchers.';
comment on column postrider.endpoint.rate_limit is 'Requests per s, m or h over all dispatchers, as 50/s; null: no limit.';
comment on column postrider.endpoint.timeout is 'Of one whole attempt, 100 ms to 5 min; null: the dispatcher''s --request-timeout.';
comment on column postrider.endpoint.retry_schedule is '1 to 50 delays of 1 ms to 7 days before the second, third ... attempt; null: 5s 5m 30m 2h 5h 10h 14h 20h 24h.';
comment on column postrider.endpoint.ordered is 'Reserved: order per key is not available yet.';
comment on column postrider.endpoint.state is 'enabled, paused or disabled; nothing is dropped while not enabled.';
comment on column postrider.endpoint.reason is 'Why it is paused or disabled.';
comment on column postrider.endpoint.created_at is 'When it was first put.';
comment on column postrider.endpoint.changed_at is 'When it last changed.';

-- Dispatchers route by a copy of the endpoints; the version tells them that it is old, the ring to look at once.
create function postrider.endpoint_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update postrider.installation set endpoint_version = endpoint_version + 1;
    perform pg_notify('postrider', '');
    return null;
end
$$;
comment on function postrider.endpoint_changed() is 'Makes every dispatcher read the endpoints again.';
create trigger endpoint_changed after insert or update or delete or truncate on postrider.endpoint
    for each statement execute function postrider.endpoint_changed();
comment on trigger endpoint_changed on postrider.endpoint is 'Makes every dispatcher read the endpoints again.';

create function postrider.put_endpoint(
    id text, url text, topics text[] default '{**}', headers jsonb default '{}', secret text default null,
    max_in_flight integer default 64, rate_limit text default null, timeout interval default null,
    retry_schedule interval[] default null, ordered boolean default false,
    out endpoint_id text, out result text, out new_secret text
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    old   postrider.endpoint;
    wrong text;
begin
    wrong := case
        when coalesce(put_endpoint.id, '') !~ '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$' then
            'id: 1 to 64 of [A-Za-z0-9._-], not starting with a full stop'
        when coalesce(put_endpoint.url, '') !~ '^https?://[^[:space:][:cntrl:]@\\#]+$' or octet_length(put_endpoint.url) > 2048 then
            'url: https://host/path of at most 2048 bytes, without credentials, fragment, spaces or backslashes'
        when put_endpoint.topics is null or cardinality(put_endpoint.topics) > 100 or not postrider.are_topic_patterns(put_endpoint.topics) then
            'topics: up to 100 patterns of dotted words of [A-Za-z0-9_-] or * (one word), ** only at the end, 128 bytes each'
        when put_endpoint.headers is null or not postrider.are_headers_valid(put_endpoint.headers) then
            'headers: an object of strings; names are HTTP tokens and not reserved, values are visible ASCII'
        when put_endpoint.secret is not null and not postrider.is_signing_secret(put_endpoint.secret) then
            'secret: whsec_ followed by base64 of 24 to 64 bytes'
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
    end;
    if wrong is not null then
        raise exception 'endpoint "%": invalid %', left(put_endpoint.id, 64), split_part(wrong, ':', 1)
            using errcode = 'invalid_parameter_value', detail = 'Allowed is ' || wrong;
    end if;

    -- Two calls for one new id at once: the second waits here and then finds the row.
    perform pg_advisory_xact_lock(hashtextextended('postrider.endpoint.' || put_endpoint.id, 0));
    select * into old from postrider.endpoint as e where e.id = put_endpoint.id for update;
    endpoint_id := put_endpoint.id;
    if old.no is null then
        new_secret := case when put_endpoint.secret is null then 'whsec_' || encode(sha256(
            (gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text)::bytea), 'base64') end;
        insert into postrider.endpoint (id, url, topics, headers, secret, max_in_flight, rate_limit, timeout, retry_schedule)
        values (put_endpoint.id, put_endpoint.url, put_endpoint.topics, put_endpoint.headers,
                coalesce(put_endpoint.secret, new_secret), put_endpoint.max_in_flight, put_endpoint.rate_limit,
                put_endpoint.timeout, put_endpoint.retry_schedule);
        result := 'created';
        return;
    end if;
    if (old.url, old.topics, old.headers, old.secret, old.max_in_flight, old.rate_limit, old.timeout, old.retry_schedule)
        is not distinct from
       (put_endpoint.url, put_endpoint.topics, put_endpoint.headers, coalesce(put_endpoint.secret, old.secret),
        put_endpoint.max_in_flight, put_endpoint.rate_limit, put_endpoint.timeout, put_endpoint.retry_schedule)
    then
        result := 'unchanged';
        return;
    end if;
    update postrider.endpoint as e
    set url = put_endpoint.url, topics = put_endpoint.topics, headers = put_endpoint.headers,
        secret = coalesce(put_endpoint.secret, old.secret), max_in_flight = put_endpoint.max_in_flight,
        rate_limit = put_endpoint.rate_limit, timeout = put_endpoint.timeout,
        retry_schedule = put_endpoint.retry_schedule, changed_at = now()
    where e.no = old.no;
    result := 'changed';
end
$$;
comment on function postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean) is
    'Creates the endpoint or replaces all it says, except the secret if none is given; the same call twice changes nothing, and a paused endpoint stays paused. '
    'Returns (endpoint_id, result: created | changed | unchanged, new_secret: only when one was generated). Raises 22023 for an invalid argument.';

create function postrider.pause_endpoint(id text, inout reason text default null, out endpoint_id text, out state text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update postrider.endpoint as e set state = 'paused', reason = left(pause_endpoint.reason, 500), changed_at = now()
    where e.id = pause_endpoint.id
    returning e.reason, e.id, e.state into pause_endpoint.reason, endpoint_id, pause_endpoint.state;
    if not found then
        raise exception 'endpoint "%" does not exist', left(pause_endpoint.id, 64) using errcode = 'no_data_found';
    end if;
end
$$;
comment on function postrider.pause_endpoint(text, text) is
    'Stops attempts; its deliveries wait as pending and nothing is lost. Returns (reason, endpoint_id, state). Raises P0002 for an unknown id.';

create function postrider.resume_endpoint(id text, out endpoint_id text, out state text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update postrider.endpoint as e set state = 'enabled', reason = null, changed_at = now()
    where e.id = resume_endpoint.id
    returning e.id, e.state into endpoint_id, resume_endpoint.state;
    if not found then
        raise exception 'endpoint "%" does not exist', left(resume_endpoint.id, 64) using errcode = 'no_data_found';
    end if;
end
$$;
comment on function postrider.resume_endpoint(text) is
    'Enables a paused or disabled endpoint; what waits is delivered. Returns the id and state. Raises P0002 for an unknown id.';
