create or replace function postrider.detach_table(inout relation regclass, out result text)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    old       postrider.attachment;
    statement text;
begin
    perform postrider.lock_attachment(detach_table.relation);
    old := postrider.existing_attachment(detach_table.relation);
    perform postrider.require_owner(old.relation);
    if exists (select from pg_class as c where c.oid = old.relation) then
        perform postrider.lock_table(old.relation, 'access exclusive');
    end if;
    foreach statement in array array(select u from postrider.unwanted_triggers(old, false) as u) loop
        execute statement;
    end loop;
    perform postrider.drop_capture(old.attachment_no, null, false);
    delete from postrider.attachment as a where a.attachment_no = old.attachment_no;
    result := 'detached';
end
$$;
comment on function postrider.detach_table(regclass) is
    'Detaches a table: the triggers and functions of postrider.attach_table go. Events that exist are delivered, but their status is '
    'not written into rows any more. The caller must be a member of the table''s owner. Returns (relation, result: detached). Raises P0002 if '
    'it is not attached, 42501 without rights, 55P03 if others hold the table for a minute.';
revoke all on function postrider.detach_table(regclass) from public;
grant execute on function postrider.detach_table(regclass) to postrider_dispatcher;
