-- The order makes the newest event win. A row is locked first, so that nobody changes it and inserts a newer event. Its newest event is
-- read in a snapshot that was taken under that lock. Then the row is written. What the queue says of an event counts only if retention
-- has deleted the event meanwhile.
--
-- What touches the table stands in a function of its owner's, postrider_write_N, so that code of the owner's never runs with the rights of a
-- dispatcher. It decides nothing here but which rows are locked, which others are there, and how many were written.
--
-- Locks: entries of row_due, skipping locked ones; then rows of the table, skipping locked ones. Nothing of ours is locked behind them.
-- So only locks on the table as a whole are waited for, and what constraints and triggers of its owner wait for. lock_timeout ends such
-- a wait before the deadlock_timeout of anybody else, so that no transaction of a user is ever the victim of a deadlock with this one.
create or replace function postrider.write_back(
    attachment_no integer, ids bigint[],
    out taken integer, out written integer, out held_up integer, out is_late boolean, out obstacle text)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '50ms' as $$
declare
    attached postrider.attachment;
    due      record;
    held     bigint[];
    busy     text[];
    keys     text[];
    words    text[];
begin
    taken := 0; written := 0; held_up := 0; is_late := false;
    select a.* into attached from postrider.attachment as a where a.attachment_no = write_back.attachment_no;
    if attached.attachment_no is null or attached.write_back = 'none' then
        return;
    end if;
    obstacle := postrider.write_obstacle(attached);
    if obstacle is not null then
        return;
    end if;

    with entry as materialized (
        select d.id, d.row_key, d.event_id, d.status, d.tries
        from postrider.row_due as d
        where d.id = any (write_back.ids) and d.attachment_no = write_back.attachment_no
        for update skip locked
    ), newest as (
        select distinct on (e.row_key) e.row_key, e.event_id, e.status from entry as e order by e.row_key, e.event_id desc, e.id desc
    )
    select (select array_agg(e.id) from entry as e) as ids, (select bool_or(e.tries > 0) from entry as e) as is_late,
           array_agg(n.row_key) as row_keys, array_agg(n.event_id) as event_ids, array_agg(n.status) as statuses
    into due from newest as n;
    if due.ids is null then
        return;
    end if;
    taken := cardinality(due.ids);

    execute format('select f.held, f.busy from %s($1, null) as f', postrider.owners_function(write_back.attachment_no, 'write'))
        into held, busy using due.row_keys;
    perform postrider.require_same_path(pg_catalog.current_setting('search_path'));
    held := coalesce(held, '{}');
    busy := coalesce(busy, '{}');
    -- A statement of its own: its snapshot has every event that was committed before a row was locked.
    select array_agg(due.row_keys[h.place]), array_agg(coalesce(a.status_map ->> s.status::text, s.status::text))
    into keys, words
    from unnest(held) as h (place)
    join postrider.attachment as a on a.attachment_no = write_back.attachment_no -- Not detached meanwhile.
    left join lateral (
        select o.id, o.status
        from postrider.outbox as o
        where o.row_key = due.row_keys[h.place] collate "C"
        order by o.id desc
        limit 1) as newest on true
    cross join lateral (
        select case when newest.id >= due.event_ids[h.place] then newest.status
                    when due.statuses[h.place] in ('complete', 'failed') then due.statuses[h.place] end) as s (status)
    where case a.write_back when 'all' then s.status <> 'pending'
                            when 'final' then s.status in ('complete', 'failed')
                            else s.status = 'complete' end;

    -- A row that is there and was not locked is somebody else's for now. Other rows are gone, and are forgotten.
    held_up := cardinality(busy);
    is_late := due.is_late and held_up = 0;
    update postrider.row_due as d
    set due_at = clock_timestamp()
        + least(greatest((clock_timestamp() - d.noted_at) / 4, interval '50 milliseconds'), interval '30 seconds')
    where d.id = any (due.ids) and d.row_key = any (busy);
    delete from postrider.row_due as d where d.id = any (due.ids) and d.row_key <> all (busy);

    -- Last, because triggers of the owner run here.
    if keys is not null then
        execute format('select f.written from %s($1, $2) as f', postrider.owners_function(write_back.attachment_no, 'write'))
            into written using keys, words;
        perform postrider.require_same_path(pg_catalog.current_setting('search_path'));
        written := greatest(0, least(coalesce(written, 0), cardinality(keys)));
    end if;
end
$$;
comment on function postrider.write_back(integer, bigint[]) is
    'Writes the status of the newest event into rows of an attached table. Private.';
revoke all on function postrider.write_back(integer, bigint[]) from public;
grant execute on function postrider.write_back(integer, bigint[]) to postrider_dispatcher;
