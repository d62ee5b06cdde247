create or replace function postrider.lock_attachment(relation regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    for try in 1..40 loop
        if pg_try_advisory_xact_lock(hashtextextended('postrider.attachment.' || lock_attachment.relation::oid, 0)) then
            return;
        end if;
        perform pg_sleep(0.25);
    end loop;
    raise exception 'table %: another session is just attaching or detaching it', lock_attachment.relation
        using errcode = 'lock_not_available', hint = 'Wait until that has committed, and call this again.';
end
$$;
comment on function postrider.lock_attachment(regclass) is
    'Lets one transaction at a time attach or detach a table; waits for 10 seconds. Raises 55P03. Private.';
revoke all on function postrider.lock_attachment(regclass) from public;
grant execute on function postrider.lock_attachment(regclass) to postrider_dispatcher;
