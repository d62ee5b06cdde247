-- One batch and the new position, in one transaction. A second dispatcher finds the row locked and does nothing. A pause waits for a
-- batch under way, and no batch comes after it.
create or replace function postrider.step_backfill(
    attachment_no integer, out outcome text, out relation text, out rows_sent bigint, out rows_refused bigint,
    out fault text, out is_news boolean
) language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    began constant timestamptz := clock_timestamp();
    b        postrider.backfill;
    moved    postrider.backfill;
    batch    record;
    took     interval;
    patience interval;
begin
    select x.* into b
    from postrider.backfill as x
    join postrider.attachment as a on a.attachment_no = x.attachment_no
    where x.attachment_no = step_backfill.attachment_no
      and x.state = 'running'
      and a.state = 'active'
      and coalesce(x.retry_at <= clock_timestamp(), true)
    for update of x skip locked
    for share of a skip locked;
    outcome := case when b.attachment_no is null then 'none'
                    when postrider.is_backfill_ahead(b.sample, b.sent_at) then 'ahead' end;
    if outcome is not null then
        return;
    end if;
    begin
        select m.* into batch from postrider.make_backfill_batch(b) as m;
        moved := batch.moved;
        fault := batch.fault;
        outcome := case when not batch.is_end and cardinality(moved.held) < 1000 then 'sent'
                        when moved.held <> '{}' then 'held'
                        else 'done' end;
        moved.tries := 0;
        moved.retry_at := null;
        if moved.rows_sent > b.rows_sent then
            moved.sent_at := clock_timestamp();
        else
            -- The last batch may still be on its way.
            moved.sample := b.sample;
        end if;
    exception when others then
        -- Only of these the message has no value of a row.
        fault := case when sqlstate = '55P03' then 'somebody has locked the table'
                      when left(sqlstate, 2) in ('0A', '42') then left(sqlerrm, 300)
                      else 'the database refuses to go on' end || format(' (SQLSTATE %s)', sqlstate);
        outcome := 'failed';
        moved := b;
        moved.tries := b.tries + 1;
        moved.retry_at := clock_timestamp() + least(60, power(2, least(b.tries, 6))) * interval '1 second';
    end;
    took := clock_timestamp() - began;
    -- Planning alone may take more than 50 ms where the machine is busy. Then smaller batches would not be shorter.
    patience := case when moved.rows_sent - b.rows_sent > 100 then interval '50 milliseconds' else interval '200 milliseconds' end;
    update postrider.backfill as x
    set state = case outcome when 'done' then 'done' else 'running' end,
        finished_at = case outcome when 'done' then clock_timestamp() end,
        after = moved.after, held = moved.held, held_at = moved.held_at, sample = moved.sample, sent_at = moved.sent_at,
        rows_read = moved.rows_read, rows_sent = moved.rows_sent, rows_refused = moved.rows_refused, tries = moved.tries,
        retry_at = moved.retry_at,
        batch_max = greatest(10, least(1000, case
            when outcome = 'failed' or took > patience then b.batch_max / 2
            -- Most of the last batch was out of the way by now. Fresh events waited about twice as long behind it.
            when b.sample = '{}' or moved.sent_at is not distinct from b.sent_at then b.batch_max
            when began - b.sent_at > interval '500 milliseconds' then b.batch_max / 2
            when began - b.sent_at < interval '250 milliseconds' and took < patience / 2 then b.batch_max * 2
            else b.batch_max end))
    where x.attachment_no = b.attachment_no;
    is_news := postrider.note_backfill_fault(b.attachment_no, fault, moved.rows_refused > 0);
    relation := (select a.relation::text from postrider.attachment as a where a.attachment_no = b.attachment_no);
    rows_sent := moved.rows_sent;
    rows_refused := moved.rows_refused;
end
$$;
comment on function postrider.step_backfill(integer) is
    'Goes on with the backfill of an attached table by one batch of at most about 50 ms. Outcome: none (it is not running, or another '
    'session is at it), ahead (fresh events would still wait behind the last batch), sent, held (only rows that somebody has locked are '
    'left), done, failed. Private: dispatchers call it.';
revoke all on function postrider.step_backfill(integer) from public;
grant execute on function postrider.step_backfill(integer) to postrider_dispatcher;
