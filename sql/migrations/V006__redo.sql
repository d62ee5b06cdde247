-- why: what was delivered, given up or waits can be retried, replayed and cancelled; endpoints can be deleted; secrets
--      overlap while they are rotated.
-- old code: runs on, but attempts a cancelled delivery once more, and signs with the newest secret alone.

alter table postrider.delivery
    add column attempts_before integer check (attempts_before >= 0),
    add column cancelled_at timestamptz;
comment on column postrider.delivery.attempts_before is 'Attempts before the last retry or replay: the retry schedule began anew after them.';
comment on column postrider.delivery.cancelled_at is 'When its event was cancelled: no further attempt.';
-- What was given back after its event was cancelled, until it is given up. Both are null on the happy path.
create index delivery_cancelled on postrider.delivery (id) where cancelled_at is not null and due_at is not null;
-- The newest failures, of all endpoints or of one; costs only what fails.
create index delivery_failed_by_id on postrider.delivery (id, endpoint_no) where failed_at is not null;

alter table postrider.outbox add column cancelled_at timestamptz;
comment on column postrider.outbox.cancelled_at is 'When it was cancelled; what was delivered by then stays delivered.';
-- Weaker than before, so that every row there is satisfies it: no scan under the lock.
alter table postrider.outbox
    drop constraint status_agrees_with_counts,
    add constraint status_agrees_with_counts check (case status
        when 'pending' then deliveries is null
        when 'in_progress' then deliveries is not null and unsettled > 0
        when 'complete' then deliveries is not null and unsettled = 0 and failed = 0
        when 'failed' then deliveries is not null and unsettled = 0 and (failed > 0 or cancelled_at is not null)
    end) not valid;
-- Where a replay looks for events of a time; a block range costs an insert next to nothing.
create index outbox_by_time on postrider.outbox using brin (created_at) with (pages_per_range = 32);
grant select (cancelled_at) on postrider.outbox to postrider_reader;

-- A deleted endpoint leaves its row behind, so that its history keeps its name; the id is free again.
alter table postrider.endpoint
    drop constraint endpoint_id_key,
    drop constraint endpoint_state_check,
    add constraint endpoint_state_check check (state in (
        'enabled',   -- deliveries are attempted
        'paused',    -- somebody paused it: deliveries wait
        'disabled',  -- Postrider gave up on it (410 Gone): deliveries wait, see reason
        'deleted')); -- somebody deleted it: deliveries that wait are given up
create unique index endpoint_by_id on postrider.endpoint (id) where state <> 'deleted';
comment on column postrider.endpoint.state is 'enabled, paused, disabled or deleted; nothing is dropped while paused or disabled.';

create table postrider.old_secret (
    endpoint_no integer     not null references postrider.endpoint (no) on delete cascade,
    secret      text        not null check (postrider.is_signing_secret(secret)),
    valid_until timestamptz not null,
    primary key (endpoint_no, secret)
);
comment on table postrider.old_secret is 'Secrets that were rotated out but still sign beside the new one. Private.';
comment on column postrider.old_secret.endpoint_no is 'The endpoint.';
comment on column postrider.old_secret.secret is 'Signing secret.';
comment on column postrider.old_secret.valid_until is 'Signs until then.';
grant select on postrider.old_secret to postrider_dispatcher;

create function postrider.topic_regex(patterns text[]) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return (select '^(' || string_agg(replace(replace(replace(p, '.', '\.'), '**', '.+'), '*', '[^.]+'), '|') || ')$'
        from unnest(patterns) as p);
comment on function postrider.topic_regex(text[]) is
    'Topic patterns as one regular expression: * is exactly one word, ** one or more; null without patterns. Private.';

create function postrider.existing_endpoint(id text) returns postrider.endpoint
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    found_endpoint postrider.endpoint;
begin
    select * into found_endpoint from postrider.endpoint as e where e.id = existing_endpoint.id and e.state <> 'deleted';
    if found_endpoint.no is null then
        raise exception 'endpoint "%" does not exist', left(existing_endpoint.id, 64) using errcode = 'no_data_found';
    end if;
    return found_endpoint;
end
$$;
comment on function postrider.existing_endpoint(text) is 'The endpoint of that id; raises P0002 if there is none. Private.';

create or replace function postrider.put_endpoint(
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
    select * into old from postrider.endpoint as e where e.id = put_endpoint.id and e.state <> 'deleted' for update;
    endpoint_id := put_endpoint.id;
    if old.no is null then
        new_secret := case when put_endpoint.secret is null then postrider.random_secret() end;
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
    if put_endpoint.secret <> old.secret then
        -- Whoever names a new secret wants that one: rotate_secret is the gentle way.
        delete from postrider.old_secret as s where s.endpoint_no = old.no;
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

create function postrider.random_secret() returns text
language sql volatile set search_path = pg_catalog, pg_temp
return 'whsec_' || encode(sha256((gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text)::bytea), 'base64');
comment on function postrider.random_secret() is 'A new signing secret: 366 random bits, hashed to 32 bytes. Private.';

create or replace function postrider.pause_endpoint(id text, inout reason text default null, out endpoint_id text, out state text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update postrider.endpoint as e set state = 'paused', reason = left(pause_endpoint.reason, 500), changed_at = now()
    where e.id = pause_endpoint.id and e.state <> 'deleted'
    returning e.reason, e.id, e.state into pause_endpoint.reason, endpoint_id, pause_endpoint.state;
    if not found then
        raise exception 'endpoint "%" does not exist', left(pause_endpoint.id, 64) using errcode = 'no_data_found';
    end if;
end
$$;

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

create function postrider.delete_endpoint(id text, out endpoint_id text, out pending bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone_no integer;
begin
    -- What may hold a secret goes too: the URL and the headers.
    update postrider.endpoint as e
    set state = 'deleted', reason = 'deleted', secret = postrider.random_secret(), url = 'https://deleted.invalid/',
        headers = '{}', changed_at = now()
    where e.id = delete_endpoint.id and e.state <> 'deleted'
    returning e.no, e.id into gone_no, endpoint_id;
    if not found then
        raise exception 'endpoint "%" does not exist', left(delete_endpoint.id, 64) using errcode = 'no_data_found';
    end if;
    delete from postrider.old_secret as s where s.endpoint_no = gone_no;
    select count(*) into pending from postrider.delivery as d where d.endpoint_no = gone_no and d.due_at is not null;
end
$$;
comment on function postrider.delete_endpoint(text) is
    'Deletes an endpoint and its secrets: nothing more is routed to it, and what waits for it (pending: so many deliveries) is given up as failed by the dispatchers. '
    'Its history stays, the id is free. Returns (endpoint_id, pending). Raises P0002 for an unknown id.';

create function postrider.rotate_secret(
    id text, secret text default null, overlap interval default interval '24 hours',
    out endpoint_id text, out new_secret text, out old_valid_until timestamptz
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    old postrider.endpoint;
begin
    select * into old from postrider.endpoint as e where e.id = rotate_secret.id and e.state <> 'deleted' for update;
    if old.no is null then
        raise exception 'endpoint "%" does not exist', left(rotate_secret.id, 64) using errcode = 'no_data_found';
    end if;
    if rotate_secret.secret is not null and not postrider.is_signing_secret(rotate_secret.secret) then
        raise exception 'endpoint "%": invalid secret', old.id
            using errcode = 'invalid_parameter_value', detail = 'Allowed is secret: whsec_ followed by base64 of 24 to 64 bytes';
    end if;
    if coalesce(rotate_secret.overlap not between interval '0' and interval '30 days', true) then
        raise exception 'endpoint "%": invalid overlap', old.id
            using errcode = 'invalid_parameter_value', detail = 'Allowed is overlap: 0 to 30 days';
    end if;
    endpoint_id := old.id;
    new_secret := coalesce(rotate_secret.secret, postrider.random_secret());
    old_valid_until := clock_timestamp() + rotate_secret.overlap;
    -- Without an overlap no old secret is trusted any more, the earlier ones neither.
    delete from postrider.old_secret as s
    where s.endpoint_no = old.no
      and (rotate_secret.overlap = interval '0' or s.valid_until <= clock_timestamp()
           or s.secret in (old.secret, rotate_secret.new_secret));
    -- Receivers compare one signature after the other: four old ones and the new one are enough.
    delete from postrider.old_secret as s
    where s.endpoint_no = old.no and s.secret in (
        select more.secret from postrider.old_secret as more where more.endpoint_no = old.no
        order by more.valid_until desc offset 3);
    if new_secret <> old.secret and rotate_secret.overlap > interval '0' then
        insert into postrider.old_secret (endpoint_no, secret, valid_until) values (old.no, old.secret, old_valid_until);
    end if;
    update postrider.endpoint as e set secret = rotate_secret.new_secret, changed_at = now() where e.no = old.no;
end
$$;
comment on function postrider.rotate_secret(text, text, interval) is
    'Gives an endpoint a new signing secret (generated unless given); requests are signed with the old one too until the overlap (0 to 30 days) ends. Without an overlap no earlier secret signs any more. '
    'Returns (endpoint_id, new_secret, old_valid_until). Raises P0002 for an unknown id, 22023 for an invalid argument.';

-- Finished deliveries to pending, due at once, with the whole retry schedule before them.
create function postrider.make_pending(delivery_ids bigint[]) returns bigint
language sql volatile set search_path = pg_catalog, pg_temp
begin atomic
    -- Deliveries before events, and events in order of id, as settling locks them.
    with finished as materialized (
        select d.id, d.event_id, d.status
        from postrider.delivery as d
        where d.id = any (delivery_ids) and d.status in ('complete', 'failed')
        order by d.id
        for update
    ), counted as materialized (
        select f.event_id, count(*)::int as deliveries, (count(*) filter (where f.status = 'failed'))::int as failed
        from finished as f
        group by f.event_id
    ), locked as materialized (
        select o.id from postrider.outbox as o
        where o.id in (select c.event_id from counted as c)
        order by o.id
        for update of o
    ), again as (
        update postrider.delivery as d
        set status = 'pending', due_at = clock_timestamp(), completed_at = null, failed_at = null,
            cancelled_at = null, attempts_before = d.attempts
        from finished as f
        where d.id = f.id
        returning d.id
    ), events as (
        update postrider.outbox as o
        set status = 'in_progress', unsettled = o.unsettled + c.deliveries, failed = o.failed - c.failed,
            completed_at = null, cancelled_at = null
        from counted as c
        join locked as l on l.id = c.event_id
        where o.id = c.event_id
    ), rung as (
        select pg_notify('postrider', '') where exists (select from again)
    )
    select count(*) from again left join rung on true;
end;
comment on function postrider.make_pending(bigint[]) is 'Makes complete and failed deliveries pending again and wakes the dispatchers; returns how many. Private.';

create function postrider.retry(inout delivery_id bigint, out status postrider.status)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    old   postrider.delivery;
    state text;
begin
    select * into old from postrider.delivery as d where d.id = retry.delivery_id for update;
    if old.id is null then
        raise exception 'delivery % does not exist', retry.delivery_id using errcode = 'no_data_found';
    end if;
    select e.state into state from postrider.endpoint as e where e.no = old.endpoint_no;
    if state is null or state = 'deleted' then
        raise exception 'delivery % cannot be retried: its endpoint was deleted', old.id
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    case old.status
        when 'failed' then
            perform postrider.make_pending(array[old.id]);
        when 'pending' then
            update postrider.delivery as d set due_at = clock_timestamp(), cancelled_at = null where d.id = old.id;
            if old.cancelled_at is not null then
                update postrider.outbox as o set cancelled_at = null where o.id = old.event_id;
            end if;
            perform pg_notify('postrider', '');
        else
            raise exception 'delivery % is %', old.id, old.status
                using errcode = 'object_not_in_prerequisite_state',
                      hint = case old.status when 'complete' then 'postrider.replay sends complete deliveries again.'
                                             else 'An attempt is under way.' end;
    end case;
    retry.status := 'pending';
end
$$;
comment on function postrider.retry(bigint) is
    'Makes a failed or waiting delivery due at once; a failed one has its whole retry schedule before it again, and one that was cancelled is no longer. Returns (delivery_id, status). '
    'Raises P0002 for an unknown id, 55000 if it is complete, in progress, or its endpoint was deleted.';

create function postrider.check_up_to(up_to integer) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if coalesce(up_to not between 1 and 100000, true) then
        raise exception 'invalid up_to' using errcode = 'invalid_parameter_value', detail = 'Allowed is up_to: 1 to 100000';
    end if;
end
$$;
comment on function postrider.check_up_to(integer) is 'Raises 22023 unless it is 1 to 100000. Private.';

create function postrider.retry_failed(endpoint_id text, since timestamptz default '-infinity', up_to integer default 10000)
returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    target postrider.endpoint := postrider.existing_endpoint(endpoint_id);
begin
    perform postrider.check_up_to(up_to);
    if since is null then
        raise exception 'invalid since' using errcode = 'invalid_parameter_value', detail = 'Allowed is since: any time';
    end if;
    return postrider.make_pending(array(
        select d.id
        from postrider.delivery as d
        where d.endpoint_no = target.no and d.failed_at >= retry_failed.since and d.cancelled_at is null
        order by d.failed_at
        limit up_to));
end
$$;
comment on function postrider.retry_failed(text, timestamptz, integer) is
    'Retries what was given up for an endpoint since a time, the oldest first, except what was cancelled. Returns how many; as many as up_to (10000): there may be more, call it again, in a transaction of its own. '
    'Raises P0002 for an unknown id, 22023 for an invalid argument.';

create function postrider.replay(
    endpoint_id text, since timestamptz, until timestamptz default now(), topics text[] default null,
    after_event_id bigint default 0, up_to integer default 10000, dry_run boolean default false,
    out replayed bigint, out next_after bigint
) language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    target   postrider.endpoint := postrider.existing_endpoint(endpoint_id);
    regex    text := postrider.topic_regex(coalesce(topics, target.topics));
    first_id bigint;
    last_id  bigint;
    picked   bigint[];
    born     bigint;
begin
    perform postrider.check_up_to(up_to);
    if since is null or until is null or after_event_id is null or dry_run is null or not postrider.are_topic_patterns(coalesce(topics, '{}')) then
        raise exception 'endpoint "%": invalid argument of replay', target.id
            using errcode = 'invalid_parameter_value',
                  detail = 'Allowed are since and until: any time; topics: patterns as of an endpoint, or null for its own';
    end if;
    replayed := 0;
    if (after_event_id <= 0 and since > '-infinity') or until < now() then
        -- The block ranges of that time say where it begins and ends; in order of id alone the whole history would be
        -- walked. The sums keep the planner from doing just that for a minimum.
        select min(o.id + 0), max(o.id + 0) into first_id, last_id
        from postrider.outbox as o
        where o.created_at >= replay.since and o.created_at < replay.until;
        if first_id is null then
            return;
        end if;
    end if;
    picked := array(
        select o.id
        from postrider.outbox as o
        where o.id > greatest(after_event_id, first_id - 1) and o.id <= coalesce(last_id, 9223372036854775807)
          and o.created_at >= replay.since and o.created_at < replay.until
          and o.status <> 'pending' and o.cancelled_at is null
          and case when o.destination is null then o.topic ~ regex
                   else o.destination = target.id and (replay.topics is null or o.topic ~ regex) end
        order by o.id
        limit up_to);
    next_after := case when cardinality(picked) = up_to then picked[up_to] end;
    if dry_run then
        select count(*) into replayed
        from unnest(picked) as p (id)
        where not exists (select from postrider.delivery as d
                          where d.event_id = p.id and d.endpoint_no = target.no and d.status in ('pending', 'in_progress'));
        return;
    end if;
    -- Deliveries before events, and events in order of id, as settling locks them. What is locked stays as it is found now.
    perform from postrider.delivery as d
    where d.event_id = any (picked) and d.endpoint_no = target.no
    order by d.id for update;
    perform from postrider.outbox as o where o.id = any (picked) order by o.id for update;
    replayed := postrider.make_pending(array(
        select d.id
        from postrider.delivery as d
        join postrider.outbox as o on o.id = d.event_id
        where d.event_id = any (picked) and d.endpoint_no = target.no and o.cancelled_at is null));
    -- Events that never were for this endpoint: it subscribed later, or the topics say so.
    with added as (
        insert into postrider.delivery (event_id, endpoint_no, status, due_at)
        select o.id, target.no, 'pending', greatest(clock_timestamp(), o.deliver_after)
        from postrider.outbox as o
        where o.id = any (picked) and o.cancelled_at is null
          and not exists (select from postrider.delivery as d where d.event_id = o.id and d.endpoint_no = target.no)
        order by o.id
        returning event_id
    ), events as (
        update postrider.outbox as o
        set status = 'in_progress', deliveries = o.deliveries + 1, unsettled = o.unsettled + 1, completed_at = null
        from added as a where o.id = a.event_id
    )
    select count(*) into born from added;
    if born > 0 then
        perform pg_notify('postrider', '');
    end if;
    replayed := replayed + born;
end
$$;
comment on function postrider.replay(text, timestamptz, timestamptz, text[], bigint, integer, boolean) is
    'Sends an endpoint again every event created from since until before until whose topic matches (null: what it subscribes to), also those it never got; what waits or is under way is left alone. '
    'What was cancelled is left alone too. Returns (replayed, next_after): next_after null: done; else up_to (10000) events were found, call it again with after_event_id => next_after, each step in a transaction of its own. dry_run only counts. '
    'Raises P0002 for an unknown id, 22023 for an invalid argument.';

create function postrider.cancel(inout event_id bigint, out status postrider.status, out cancelled integer, out under_way integer)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    cancelled := 0;
    under_way := 0;
    begin
        -- Not routed yet: it never will be. Waits for a dispatcher that is routing it, and then finds it routed.
        update postrider.outbox as o
        set status = 'failed', deliveries = 0, unsettled = 0, failed = 0,
            completed_at = clock_timestamp(), cancelled_at = clock_timestamp()
        where o.id = cancel.event_id and o.status = 'pending'
        returning o.status into strict cancel.status;
        return;
    exception when no_data_found then
        -- Whoever waited has locked the event all the same. With this block the lock is gone: it comes after those of
        -- the deliveries, as settling takes them.
        null;
    end;
    perform from postrider.delivery as d where d.event_id = cancel.event_id order by d.id for update;
    update postrider.delivery as d
    set status = 'failed', due_at = null, completed_at = clock_timestamp(), failed_at = clock_timestamp(),
        cancelled_at = clock_timestamp(), last_error = 'cancelled'
    where d.event_id = cancel.event_id and d.status = 'pending';
    get diagnostics cancelled = row_count;
    update postrider.delivery as d set cancelled_at = clock_timestamp()
    where d.event_id = cancel.event_id and d.status = 'in_progress';
    get diagnostics under_way = row_count;
    if cancelled + under_way > 0 then
        update postrider.outbox as o
        set unsettled = o.unsettled - cancelled, failed = o.failed + cancelled, cancelled_at = clock_timestamp(),
            status = case when o.unsettled = cancelled then 'failed' else 'in_progress' end::postrider.status,
            completed_at = case when o.unsettled = cancelled then clock_timestamp() end
        where o.id = cancel.event_id;
    end if;
    select o.status into cancel.status from postrider.outbox as o where o.id = cancel.event_id;
    if not found then
        raise exception 'event % does not exist', cancel.event_id using errcode = 'no_data_found';
    end if;
end
$$;
comment on function postrider.cancel(bigint) is
    'Cancels an event: what waits is given up (cancelled: so many deliveries), what is under way is not retried (under_way: it may still arrive), what is settled stays. '
    'Returns (event_id, status, cancelled, under_way). Raises P0002 for an unknown id.';

-- Rows of deleted endpoints go when no history can name them any more.
create function postrider.forget_endpoints(deleted_before timestamptz) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone bigint := 0;
begin
    -- Asked first: even a delete of nothing makes the dispatchers read the endpoints again.
    if exists (select from postrider.endpoint as e where e.state = 'deleted' and e.changed_at < deleted_before) then
        delete from postrider.endpoint as e where e.state = 'deleted' and e.changed_at < deleted_before;
        get diagnostics gone = row_count;
    end if;
    return gone;
end
$$;
comment on function postrider.forget_endpoints(timestamptz) is 'Removes what is left of endpoints deleted before a time; returns how many. Private.';

revoke all on function postrider.topic_regex(text[]), postrider.existing_endpoint(text), postrider.random_secret(),
    postrider.delete_endpoint(text), postrider.rotate_secret(text, text, interval), postrider.make_pending(bigint[]),
    postrider.retry(bigint), postrider.check_up_to(integer), postrider.retry_failed(text, timestamptz, integer),
    postrider.replay(text, timestamptz, timestamptz, text[], bigint, integer, boolean), postrider.cancel(bigint),
    postrider.forget_endpoints(timestamptz)
    from public;
grant execute on function postrider.topic_regex(text[]), postrider.existing_endpoint(text),
    postrider.delete_endpoint(text), postrider.rotate_secret(text, text, interval), postrider.make_pending(bigint[]),
    postrider.retry(bigint), postrider.check_up_to(integer), postrider.retry_failed(text, timestamptz, integer),
    postrider.replay(text, timestamptz, timestamptz, text[], bigint, integer, boolean), postrider.cancel(bigint),
    postrider.forget_endpoints(timestamptz)
    to postrider_dispatcher;
