-- Each server numbers its own transactions. A watermark of another server means nothing here.
create or replace function postrider.server_identity() returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (select s.system_identifier::text from pg_control_system() as s);
exception when insufficient_privilege or undefined_function then
    return ''; -- If the role may not read it, this server counts as the one it was before.
end
$$;
comment on function postrider.server_identity() is
    'Returns PostgreSQL''s system identifier of the cluster. It differs after a dump and restore, or in a logical copy. Empty where the '
    'role may not read it. Private.';
revoke all on function postrider.server_identity() from public;
grant execute on function postrider.server_identity() to postrider_reader, postrider_dispatcher;
