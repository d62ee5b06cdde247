create or replace function postrider.replay(
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
    places   bigint[];
    lanes    text[];
begin
    perform postrider.check_up_to(up_to);
    if since is null or until is null or after_event_id is null or dry_run is null or not postrider.are_topic_patterns(coalesce(topics, '{}')) then
        raise exception 'endpoint "%": invalid argument of replay', target.id
            using errcode = 'invalid_parameter_value',
                  detail = 'Allowed are since and until: any time; topics: patterns as of an endpoint, or null for its own';
    end if;
    replayed := 0;
    if (after_event_id <= 0 and since > '-infinity') or until < now() then
        -- The block ranges of that time tell the first and the last id. A search in order of id alone would walk the whole
        -- history. The sums keep the planner from doing just that for a minimum.
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
          and (o.topic <> 'postrider.test' or replay.topics is not null)
          and case when o.destination is null then o.topic ~ regex
                   else o.destination = target.id and (replay.topics is null or o.topic ~ regex) end
        order by o.id
        limit up_to);
    next_after := case when cardinality(picked) = up_to then picked[up_to] end;
    if dry_run then
        select count(*) into replayed
        from unnest(picked) as p (id)
        where not exists (select from postrider.delivery as d
                          where d.event_id = p.id and d.endpoint_no = target.endpoint_no and d.status in ('pending', 'in_progress'));
        return;
    end if;
    -- Settling locks deliveries before events, and events in order of id. This does the same. Locked rows cannot change any more.
    perform from postrider.delivery as d
    where d.event_id = any (picked) and d.endpoint_no = target.endpoint_no
    order by d.id for update;
    perform from postrider.outbox as o where o.id = any (picked) order by o.id for update;
    if (select e.ordered from postrider.live_endpoint as e where e.endpoint_no = target.endpoint_no) then
        -- In each lane they come to the end, in order of the events' ids.
        places := array(select nextval('postrider.outbox_id_seq') from unnest(picked));
    end if;
    -- These events never went to this endpoint. It subscribed later, or the topics argument names them. They come before make_pending,
    -- which then knows the first of each lane.
    with added as (
        insert into postrider.delivery (event_id, endpoint_no, status, due_at, lane, place)
        select o.id, target.endpoint_no, 'pending', case when p.place is null then greatest(clock_timestamp(), o.deliver_after) end,
               case when p.place is not null then o.key end, p.place
        from postrider.outbox as o
        left join unnest(picked, places) as p (id, place) on p.id = o.id and o.key is not null
        where o.id = any (picked) and o.cancelled_at is null
          and not exists (select from postrider.delivery as d where d.event_id = o.id and d.endpoint_no = target.endpoint_no)
        order by o.id
        returning event_id, lane
    ), events as (
        update postrider.outbox as o
        set status = 'in_progress', deliveries = o.deliveries + 1, open_deliveries = o.open_deliveries + 1, completed_at = null
        from added as a where o.id = a.event_id
    )
    select count(*), array_agg(a.lane) filter (where a.lane is not null) into born, lanes from added as a;
    replayed := postrider.make_pending(array(
        select d.id
        from postrider.delivery as d
        join postrider.outbox as o on o.id = d.event_id
        where d.event_id = any (picked) and d.endpoint_no = target.endpoint_no and o.cancelled_at is null), picked, places);
    if lanes is not null then
        perform postrider.open_lanes(array_fill(target.endpoint_no, array[cardinality(lanes)]), lanes);
    end if;
    if born > 0 then
        perform pg_notify('postrider', '');
    end if;
    replayed := replayed + born;
end
$$;
comment on function postrider.replay(text, timestamptz, timestamptz, text[], bigint, integer, boolean) is
    'Sends an endpoint again every event created from since until before until whose topic matches (topics null: the endpoint''s own). '
    'Events that it never got are sent too. Deliveries that wait or are under way stay as they are, and so do cancelled ones. Tests are sent only where topics asks for them. '
    'Where order is kept per key, they come to the end of their key, in order of id; one that failed and holds up its key goes first again. Returns '
    '(replayed, next_after). If next_after is not null, up_to (10000) events were found: call again with after_event_id => next_after, '
    'each step in a transaction of its own. dry_run only counts. Raises P0002 for an unknown id, 22023 for an invalid argument.';
revoke all on function postrider.replay(text, timestamptz, timestamptz, text[], bigint, integer, boolean) from public;
grant execute on function postrider.replay(text, timestamptz, timestamptz, text[], bigint, integer, boolean)
    to postrider_dispatcher;
