create or replace function postrider.endpoint_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into postrider.endpoint_change default values;
    perform pg_notify('postrider', '');
    return null;
end
$$;
comment on function postrider.endpoint_changed() is 'Makes every dispatcher read the endpoints again.';
revoke all on function postrider.endpoint_changed() from public;
grant execute on function postrider.endpoint_changed() to postrider_dispatcher;
