-- postrider.write_attachment executes these statements, and --dry-run prints them.
create or replace function postrider.attachment_script(attachment postrider.attachment, out functions text[], out triggers text[])
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    owner text := (select pg_get_userbyid(c.relowner) from pg_class as c where c.oid = attachment.relation);
begin
    select array_agg(m.made order by m.place)
           || case when owner <> current_user then array_agg(format('alter function %s owner to %I',
                  replace(postrider.capture_name(attachment), 'postrider_capture_', 'postrider_' || m.kind || '_'), owner) order by m.place) end
    into functions
    from (values (1, 'capture', rtrim(postrider.capture_code(attachment), E'; \n')),
                 (2, 'backfill', rtrim(postrider.backfill_code(attachment), E'; \n')),
                 (3, 'write', rtrim(postrider.write_code(attachment), E'; \n'))) as m (place, kind, made)
    where m.kind <> 'write' or attachment.write_back <> 'none';
    triggers := array(select t from postrider.capture_triggers(attachment) as t);
end
$$;
comment on function postrider.attachment_script(postrider.attachment) is
    'Returns the statements that make the functions of an attached table, and those that make its triggers. Private.';
revoke all on function postrider.attachment_script(postrider.attachment) from public;
grant execute on function postrider.attachment_script(postrider.attachment) to postrider_dispatcher;
