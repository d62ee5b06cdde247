-- Runs in the transaction that changes an event's status. It inserts and never waits, and the user's table is not touched here.
create or replace function postrider.note_row() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into postrider.row_due (attachment_no, row_key, event_id, status)
    select a.attachment_no, new.row_key, new.id, new.status
    from postrider.attachment as a
    where a.attachment_no = split_part(new.row_key, '[', 1)::integer
      and (a.write_back = 'all' or a.write_back = 'final' and new.status in ('complete', 'failed')
           or a.write_back = 'delete' and new.status = 'complete');
    return null;
end
$$;
comment on function postrider.note_row() is 'Notes that the row of an attached table may need another status. Private.';
revoke all on function postrider.note_row() from public;
grant execute on function postrider.note_row() to postrider_dispatcher;
