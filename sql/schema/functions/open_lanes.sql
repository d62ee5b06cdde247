-- The one rule of lanes: the first delivery of each is due, and those behind it are not. The look has a snapshot of its own. So whoever
-- changes a lane calls this in a statement after that; a dispatcher calls it once more after the commit. A plan is kept: PL/pgSQL.
create or replace function postrider.open_lanes(endpoint_nos integer[], lanes text[])
returns table (endpoint_no integer, lane text, is_held_up boolean)
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    return query
    with head as materialized (
        select first.id, first.endpoint_no, first.lane, first.event_id
        from (select distinct u.endpoint_no, u.lane from unnest(endpoint_nos, lanes) as u (endpoint_no, lane)) as asked
        cross join lateral (
            select d.id, d.endpoint_no, d.lane, d.event_id, d.status, d.due_at
            from postrider.delivery as d
            where d.endpoint_no = asked.endpoint_no and d.lane = asked.lane
            order by d.endpoint_no, d.lane, d.place
            limit 1) as first
        where first.status = 'pending' and first.due_at is null
    ), free as materialized (
        select d.id
        from head as h
        join postrider.delivery as d on d.id = h.id
        where d.status = 'pending' and d.due_at is null and d.lane is not null
        for update of d skip locked
    ), opened as (
        update postrider.delivery as d
        set due_at = greatest(clock_timestamp(), (select o.deliver_after from postrider.outbox as o where o.id = d.event_id))
        from free as f
        where d.id = f.id
        returning d.id
    )
    select h.endpoint_no, h.lane, not exists (select from opened as o where o.id = h.id)
    from head as h;
end
$$;
comment on function postrider.open_lanes(integer[], text[]) is
    'Makes the first delivery of each lane due, if it only waited for those before it. A lane is an endpoint and a key: one entry in each '
    'array. Returns (endpoint_no, lane, is_held_up: somebody has locked the delivery) for each lane whose first delivery was not due. Private.';
revoke all on function postrider.open_lanes(integer[], text[]) from public;
grant execute on function postrider.open_lanes(integer[], text[]) to postrider_dispatcher;
