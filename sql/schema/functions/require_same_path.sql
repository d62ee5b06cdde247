-- Called as postrider.require_same_path(pg_catalog.current_setting('search_path')) after each call of a generated function. A trigger
-- that sets the path for the whole session would have a dispatcher call functions of the table's owner by the names of PostgreSQL's.
create or replace function postrider.require_same_path(path text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if replace(path, ' ', '') <> 'pg_catalog,pg_temp' then
        raise exception 'a trigger of the table has set search_path for the session: it must not, or only with SET LOCAL'
            using errcode = 'triggered_action_exception';
    end if;
end
$$;
comment on function postrider.require_same_path(text) is
    'Refuses a search path that code of a table''s owner has left behind in a session of a dispatcher. Private.';
revoke all on function postrider.require_same_path(text) from public;
grant execute on function postrider.require_same_path(text) to postrider_dispatcher;
