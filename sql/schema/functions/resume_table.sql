create or replace function postrider.resume_table(inout relation regclass, backfill boolean default false, out state text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    old postrider.attachment;
begin
    old := postrider.existing_attachment(resume_table.relation);
    if resume_table.backfill then
        perform postrider.require_owner(old.relation);
        -- A transaction that is under way may have changed a row unheard. Its row is read when it has ended.
        perform postrider.lock_table(old.relation, 'share row exclusive');
    end if;
    update postrider.attachment as a
    set state = 'active', reason = null, paused_at = null
    where a.attachment_no = old.attachment_no
    returning a.state into resume_table.state;
    if resume_table.backfill then
        perform postrider.start_backfill(old.attachment_no, false);
        perform postrider.grant_lacking(old, true);
    end if;
end
$$;
comment on function postrider.resume_table(regclass, boolean) is
    'Resumes a paused table: its changes are heard from the next statement on. Changes made during the pause are not sent. With backfill, '
    'every row that meets when_sql now is sent; only a member of the table''s owner may ask for that. Returns (relation, state). Raises P0002 if it is '
    'not attached, 55P03 if others hold the table for a minute.';
revoke all on function postrider.resume_table(regclass, boolean) from public;
grant execute on function postrider.resume_table(regclass, boolean) to postrider_dispatcher;
