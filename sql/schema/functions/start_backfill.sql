-- The caller has made sure that no transaction is under way that writes to the table unheard: attach_table and resume_table hold a lock
-- that waits for all writers.
create or replace function postrider.start_backfill(attachment_no integer, is_new boolean) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update postrider.attachment as a
    set backfill_state = 'running', backfill_after = null, backfill_rows = 0
    where a.attachment_no = start_backfill.attachment_no
$$;
comment on function postrider.start_backfill(integer, boolean) is
    'Asks for a backfill of an attached table, from the first row on. Private: attach_table and resume_table call it.';
revoke all on function postrider.start_backfill(integer, boolean) from public;
grant execute on function postrider.start_backfill(integer, boolean) to postrider_dispatcher;
