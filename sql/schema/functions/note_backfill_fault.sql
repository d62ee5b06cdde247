-- The row of attachment is read by triggers of users, so it changes only when there is something else to say.
create or replace function postrider.note_backfill_fault(attachment_no integer, fault text, keeps boolean) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    said constant text := 'backfill: ' || note_backfill_fault.fault;
begin
    update postrider.attachment as a
    set last_error = said, last_error_at = case when said is not null then clock_timestamp() end
    where a.attachment_no = note_backfill_fault.attachment_no
      and a.last_error is distinct from said
      -- What is over is taken back. An error of somebody else stays, and so does the reason why rows are missing.
      and (said is not null or a.last_error like 'backfill: %' and not note_backfill_fault.keeps);
    return found and said is not null;
end
$$;
comment on function postrider.note_backfill_fault(integer, text, boolean) is
    'Sets last_error of an attached table to what keeps its backfill from going on, or clears it when fault is null, unless it is to be '
    'kept. Returns whether there is a new error. Private.';
revoke all on function postrider.note_backfill_fault(integer, text, boolean) from public;
grant execute on function postrider.note_backfill_fault(integer, text, boolean) to postrider_dispatcher;
