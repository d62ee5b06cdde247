-- The producer's half of the bell (ARCHITECTURE.md, "The bell"). It must never fail an INSERT. If it goes wrong, the dispatcher's
-- fallback poll still finds the row.
-- Every name is qualified. Pinning search_path instead would cost each insert a microsecond.
create or replace function postrider.ring() returns trigger
language plpgsql as $$
begin
    if not pg_catalog.pg_try_advisory_xact_lock_shared(postrider.bell_key()) then
        perform pg_catalog.pg_notify('postrider', '');
    end if;
    return null;
exception when others then
    return null;
end
$$;
comment on function postrider.ring() is
    'Wakes a sleeping dispatcher. Sends nothing while a dispatcher is awake, so that commits are not serialised.';
revoke all on function postrider.ring() from public;
grant execute on function postrider.ring() to postrider_producer, postrider_dispatcher;
