create or replace function postrider.revoke_write_back(attachment postrider.attachment) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    granted text;
begin
    foreach granted in array coalesce(attachment.granted, '{}') loop
        begin
            execute format('revoke %s on table %s from postrider_dispatcher', granted, attachment.relation);
        exception when undefined_table or undefined_column or syntax_error or insufficient_privilege then
            null; -- It was dropped or renamed since, or is not the caller's to take back.
        end;
    end loop;
end
$$;
comment on function postrider.revoke_write_back(postrider.attachment) is
    'Takes back what postrider.grant_write_back has granted on an attached table. Private.';
revoke all on function postrider.revoke_write_back(postrider.attachment) from public;
grant execute on function postrider.revoke_write_back(postrider.attachment) to postrider_dispatcher;
