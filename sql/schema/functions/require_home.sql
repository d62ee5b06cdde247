-- The gate before all work. Every new connection of a dispatcher calls this first, and every renewal of a lease. So no row of a copy
-- is ever claimed, and a claim itself costs nothing more.
create or replace function postrider.require_home() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    configured constant text := nullif(current_setting('postrider.installation', true), '');
    why        text := postrider.why_not_at_home(configured);
begin
    if why is not null then
        -- The operator said beforehand that it would move. With the right name, only the place can be wrong.
        perform from postrider.installation as i
        where i.name = configured and i.move_expected_until > clock_timestamp()
        for no key update;
        if found then
            perform postrider.take_home(configured);
            return;
        end if;
        -- Another dispatcher may have been faster.
        why := postrider.why_not_at_home(configured);
    end if;
    if why is not null then
        raise exception 'nothing is sent: %', why using errcode = 'PR001', hint =
            'postrider adopt --as original, if the installation is here now; postrider adopt --as copy, if this is a copy of it.';
    end if;
    -- The first dispatcher makes this its home. If somebody holds the row, the next connection does.
    if exists (select from postrider.installation as i where i.home_database is null) then
        update postrider.installation as i
        set home_database = (select d.oid from pg_database as d where d.datname = current_database()), name = configured
        from (select f.only_row from postrider.installation as f where f.home_database is null for no key update skip locked) as free
        where i.only_row = free.only_row;
    end if;
end
$$;
comment on function postrider.require_home() is
    'Raises PR001 unless a dispatcher may work on this database. The setting postrider.installation has the name that it was told. '
    'Private.';
revoke all on function postrider.require_home() from public;
grant execute on function postrider.require_home() to postrider_dispatcher;
