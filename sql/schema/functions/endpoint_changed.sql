create or replace function postrider.endpoint_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- The first copy of a logical replication fires triggers. It brings the rows of endpoint_change, too.
    if current_setting('session_replication_role') = 'replica' and exists (
        select from pg_stat_get_activity(pg_backend_pid()) as a where a.backend_type like 'logical replication%')
    then
        return null;
    end if;
    -- Endpoints of templates are many. A dispatcher that does not know one looks for it when it meets its id or its number. Nested,
    -- because only an insert has the rows.
    if tg_op = 'INSERT' then
        if not exists (select from added as a where a.template_no is null) then
            return null;
        end if;
    end if;
    insert into postrider.endpoint_change default values;
    perform pg_notify('postrider', '');
    return null;
end
$$;
comment on function postrider.endpoint_changed() is 'Makes every dispatcher read the endpoints again.';
revoke all on function postrider.endpoint_changed() from public;
grant execute on function postrider.endpoint_changed() to postrider_dispatcher;
