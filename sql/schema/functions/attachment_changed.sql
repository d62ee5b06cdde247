create or replace function postrider.attachment_changed() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform postrider.grant_capture();
    return null;
end
$$;
comment on function postrider.attachment_changed() is
    'Grants the owners of attached tables what their triggers need, and takes it back. Private.';
revoke all on function postrider.attachment_changed() from public;
grant execute on function postrider.attachment_changed() to postrider_dispatcher;
