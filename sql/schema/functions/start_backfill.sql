-- The caller has made sure that no transaction is under way that writes to the table unheard: attach_table and resume_table hold a lock
-- that waits for all writers.
create or replace function postrider.start_backfill(attachment_no integer, is_new boolean) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    insert into postrider.backfill as b (attachment_no, sent_since)
    select start_backfill.attachment_no,
           -- A row's events of before say nothing of changes that were not heard. Those of a new attachment were all heard.
           case when start_backfill.is_new then 0
                else greatest(pg_sequence_last_value('postrider.outbox_id_seq'), (select max(o.id) from postrider.outbox as o), 0) end
    on conflict on constraint backfill_pkey do update
    set state = 'running', after = null, held = '{}', held_at = null, sent_since = excluded.sent_since, batch_max = default,
        sample = '{}', sent_at = null, rows_read = 0, rows_sent = 0, rows_refused = 0, tries = 0, retry_at = null, started_at = now(),
        finished_at = null
$$;
comment on function postrider.start_backfill(integer, boolean) is
    'Asks for a backfill of an attached table, from the first row on. Private: attach_table and resume_table call it.';
revoke all on function postrider.start_backfill(integer, boolean) from public;
grant execute on function postrider.start_backfill(integer, boolean) to postrider_dispatcher;
