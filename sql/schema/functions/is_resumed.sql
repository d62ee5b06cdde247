-- A transaction at repeatable read sees a pause for as long as it lasts itself. A lock shows more: it fails if the row has changed since,
-- or is being changed. The lock is given up at once, so that nobody waits for this transaction.
create or replace function postrider.is_resumed(attachment_no integer) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform from postrider.attachment as a where a.attachment_no = is_resumed.attachment_no for share nowait;
    raise exception using errcode = 'raise_exception';
exception
    when raise_exception then
        return false;
    when serialization_failure or lock_not_available then
        return true;
end
$$;
comment on function postrider.is_resumed(integer) is
    'Whether an attachment that this transaction sees as paused may have been resumed since its snapshot. Private.';
revoke all on function postrider.is_resumed(integer) from public;
grant execute on function postrider.is_resumed(integer) to postrider_dispatcher;
