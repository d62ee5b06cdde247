create or replace function postrider.grant_lacking(attachment postrider.attachment, is_called boolean, out granted text[], out missing text[])
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    lacking text;
begin
    granted := '{}';
    missing := '{}';
    foreach lacking in array coalesce(postrider.lacking_rights(attachment, is_called), '{}') loop
        begin
            -- Without a grant option this is a mere warning.
            execute format('grant %s', lacking);
        exception when insufficient_privilege then
            null;
        end;
        if lacking = any (coalesce(postrider.lacking_rights(attachment, is_called), '{}')) then
            missing := missing || lacking;
        else
            granted := granted || lacking;
        end if;
    end loop;
end
$$;
comment on function postrider.grant_lacking(postrider.attachment, boolean) is
    'Grants what postrider.lacking_rights returns. Returns what was granted, and what the caller may not grant. Private.';
revoke all on function postrider.grant_lacking(postrider.attachment, boolean) from public;
grant execute on function postrider.grant_lacking(postrider.attachment, boolean) to postrider_dispatcher;
