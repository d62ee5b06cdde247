-- What attaching a table executes, and what --dry-run prints.
create or replace function postrider.attachment_script(attachment postrider.attachment, out functions text[], out triggers text[])
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    owner text := (select pg_get_userbyid(c.relowner) from pg_class as c where c.oid = attachment.relation);
begin
    functions := array[rtrim(postrider.capture_code(attachment), E'; \n')];
    if owner <> current_user then
        functions := functions || format('alter function %s() owner to %I', postrider.capture_name(attachment), owner);
    end if;
    triggers := array(select t from postrider.capture_triggers(attachment) as t);
end
$$;
comment on function postrider.attachment_script(postrider.attachment) is
    'Returns the statements that make the functions of an attached table, and those that make its triggers. Private.';
revoke all on function postrider.attachment_script(postrider.attachment) from public;
grant execute on function postrider.attachment_script(postrider.attachment) to postrider_dispatcher;
