-- Three statements, each with a snapshot of its own. The rows are locked first. What changed them before has committed by then, and its
-- events with it, so the second statement sees them. What changes them later waits for this transaction, so its events come after ours.
-- Nothing here waits for a row of a user. So nobody's transaction can be in a deadlock with this one.
create or replace function postrider.send_backfilled(
    attachment_no integer, relation regclass, row_keys text[], sent_since bigint, out sent integer, out held text[], out sample bigint[]
) language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    locked text[];
    unsent text[];
begin
    execute format('select b.chosen, b.held from %s(''lock'', $1, null, null, $2) as b',
                   postrider.owners_function(send_backfilled.attachment_no, 'backfill'))
        using relation, row_keys into locked, held;
    perform postrider.require_same_path(pg_catalog.current_setting('search_path'));
    select coalesce(array_agg(k.row_key order by k.place), '{}') into unsent
    from unnest(locked) with ordinality as k (row_key, place)
    where not exists (select from postrider.outbox as o
                      where o.row_key collate "C" = k.row_key collate "C" and o.id > send_backfilled.sent_since);
    execute format('select b.rows_done from %s(''send'', $1, null, null, $2) as b',
                   postrider.owners_function(send_backfilled.attachment_no, 'backfill'))
        using relation, unsent into sent;
    perform postrider.require_same_path(pg_catalog.current_setting('search_path'));
    sample := array(
        select newest.id
        from unnest(unsent) with ordinality as k (row_key, place)
        cross join lateral (select max(o.id) as id from postrider.outbox as o where o.row_key collate "C" = k.row_key collate "C") as newest
        where (cardinality(unsent) - k.place) % (cardinality(unsent) / 64 + 1) = 0
          and newest.id > send_backfilled.sent_since);
end
$$;
comment on function postrider.send_backfilled(integer, regclass, text[], bigint) is
    'Inserts an event for each of these rows of an attached table that nobody has locked, that still meets the condition, and that has no '
    'event above this id. Returns how many events, the rows that somebody has locked, and some of the events. Private.';
revoke all on function postrider.send_backfilled(integer, regclass, text[], bigint) from public;
grant execute on function postrider.send_backfilled(integer, regclass, text[], bigint) to postrider_dispatcher;
