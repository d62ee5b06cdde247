create or replace function postrider.grant_write_back(attachment postrider.attachment, out granted text[], out missing text[])
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    lacking text;
begin
    granted := '{}';
    missing := '{}';
    foreach lacking in array coalesce(postrider.lacking_rights(attachment), '{}') loop
        begin
            -- Without a grant option this is a mere warning.
            execute format('grant %s to postrider_dispatcher', lacking);
        exception when insufficient_privilege then
            null;
        end;
        if lacking = any (coalesce(postrider.lacking_rights(attachment), '{}')) then
            missing := missing || lacking;
        else
            granted := granted || lacking;
        end if;
    end loop;
end
$$;
comment on function postrider.grant_write_back(postrider.attachment) is
    'Grants postrider_dispatcher what it needs to write the status into an attached table. Returns what was granted, and what the '
    'caller may not grant. Private.';
revoke all on function postrider.grant_write_back(postrider.attachment) from public;
grant execute on function postrider.grant_write_back(postrider.attachment) to postrider_dispatcher;
