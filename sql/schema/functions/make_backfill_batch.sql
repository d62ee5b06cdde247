-- A batch that fails because of a row is made again row by row, with 16 rows, because each takes a millisecond or two. What fails for
-- another reason fails as a whole.
create or replace function postrider.make_backfill_batch(
    b postrider.backfill, out moved postrider.backfill, out is_end boolean, out fault text
) language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    may_find  constant boolean := cardinality(b.held) < 1000;
    relation  constant regclass := (select a.relation from postrider.attachment as a where a.attachment_no = b.attachment_no);
    hiding    constant text := postrider.hiding_policy(relation);
    again     text[] := '{}';
    found_now text[];
    rows_done integer;
    batch     record;
    one       text;
begin
    if hiding is not null then
        raise exception '%', hiding using errcode = 'insufficient_privilege';
    end if;
    moved := b;
    if b.held_at is null or b.held_at < clock_timestamp() - interval '1 second' then
        again := b.held[1:100];
        moved.held := b.held[101:];
        moved.held_at := clock_timestamp();
    end if;
    begin
        if may_find then
            execute format('select f.chosen, f.rows_done, f.last_key, f.is_end from %s(''find'', $1, $2, $3, null) as f',
                           postrider.owners_function(b.attachment_no, 'backfill'))
                using relation, b.after, b.batch_max into found_now, rows_done, moved.after, is_end;
            perform postrider.require_same_path(pg_catalog.current_setting('search_path'));
        end if;
        select s.* into batch from postrider.send_backfilled(b.attachment_no, relation, again || found_now, b.sent_since) as s;
        moved.rows_sent := b.rows_sent + batch.sent;
        moved.held := moved.held || batch.held;
        moved.sample := batch.sample;
    exception when others then
        if not postrider.is_row_fault(sqlstate) then
            raise;
        end if;
        if may_find then
            execute format('select f.chosen, f.rows_done, f.last_key, f.is_end from %s(''list'', $1, $2, 16, null) as f',
                           postrider.owners_function(b.attachment_no, 'backfill'))
                using relation, b.after into found_now, rows_done, moved.after, is_end;
            perform postrider.require_same_path(pg_catalog.current_setting('search_path'));
        end if;
        moved.held := moved.held || again[17:];
        moved.sample := '{}';
        foreach one in array again[1:16] || found_now loop
            begin
                select s.* into batch from postrider.send_backfilled(b.attachment_no, relation, array[one], b.sent_since) as s;
                moved.rows_sent := moved.rows_sent + batch.sent;
                moved.held := moved.held || batch.held;
                moved.sample := moved.sample || batch.sample;
            exception when others then
                if not postrider.is_row_fault(sqlstate) then
                    raise;
                end if;
                moved.rows_refused := moved.rows_refused + 1;
                -- The error's message may hold a value of the row, so only its code is kept.
                fault := format('rows that cannot become events are left out (SQLSTATE %s)', sqlstate);
            end;
        end loop;
    end;
    moved.after := coalesce(moved.after, b.after);
    moved.rows_read := b.rows_read + coalesce(rows_done, 0);
    is_end := coalesce(is_end, false);
end
$$;
comment on function postrider.make_backfill_batch(postrider.backfill) is
    'Sends the next rows of a backfill, and those that were locked before. Returns where it stands then, whether no further row follows, '
    'and why rows were left out. Private.';
revoke all on function postrider.make_backfill_batch(postrider.backfill) from public;
grant execute on function postrider.make_backfill_batch(postrider.backfill) to postrider_dispatcher;
