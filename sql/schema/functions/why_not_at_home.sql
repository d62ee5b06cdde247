-- A copy of a database carries every row, but it is another database. A physical copy is the same database in all that it can read
-- about itself: there the name tells, which the operator gives to the dispatchers and not to the database.
create or replace function postrider.why_not_at_home(configured_name text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    home     postrider.installation;
    server   constant text := postrider.server_identity();
    database constant oid  := (select d.oid from pg_database as d where d.datname = current_database());
begin
    select i.* into home from postrider.installation as i;
    if home.home_database is null and home.name is null then
        return null; -- No dispatcher has been here, or in whatever this was copied from.
    end if;
    -- A server that may not be read counts as the same one.
    if home.home_database <> database or (home.server <> '' and server <> '' and home.server <> server) then
        return format('this is a copy, or the installation was moved: it was delivered from database %s of server %s, and this is '
                      'database %s of server %s', home.home_database, coalesce(nullif(home.server, ''), 'unknown'),
                      database, coalesce(nullif(server, ''), 'unknown'));
    end if;
    if home.name is distinct from nullif(configured_name, '') then
        return format('this installation is named %s, and the dispatcher was told %s', coalesce('"' || home.name || '"', 'nothing'),
                      coalesce('"' || nullif(configured_name, '') || '"', 'no name'));
    end if;
    return null;
end
$$;
comment on function postrider.why_not_at_home(text) is
    'Returns why a dispatcher that was told this name must send nothing from this database; null if it may. Private; read '
    'postrider.installation_status.';
revoke all on function postrider.why_not_at_home(text) from public;
grant execute on function postrider.why_not_at_home(text) to postrider_reader, postrider_dispatcher;
