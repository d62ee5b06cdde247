-- Transactions are numbered by the server: what was routed elsewhere says nothing here.
create or replace function postrider.server_identity() returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (select s.system_identifier::text from pg_control_system() as s);
exception when insufficient_privilege or undefined_function then
    return ''; -- Not told: this server is taken for the one that it was before.
end
$$;
comment on function postrider.server_identity() is
    'What PostgreSQL calls the cluster: another one after a dump and restore, or a logical copy. Empty where it may not be asked. Private.';
revoke all on function postrider.server_identity() from public;
grant execute on function postrider.server_identity() to postrider_reader, postrider_dispatcher;
