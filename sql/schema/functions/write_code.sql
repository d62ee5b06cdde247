-- The generated function stands in the table's schema and is the table owner's. So triggers of that role run with its rights when a status
-- is written, deferred ones too, and PostgreSQL refuses SET ROLE and RESET ROLE in them. It takes the keys of rows and the words for them,
-- and nothing that could become SQL.
create or replace function postrider.write_code(a postrider.attachment) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format($code$create or replace function %1$I.%2$I(
    row_keys text[], words text[], out held bigint[], out busy text[], out written integer
) language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '50ms'
as %3$L;
revoke all on function %1$I.%2$I from public; grant execute on function %1$I.%2$I to postrider_dispatcher;
$code$, n.nspname, 'postrider_write_' || a.attachment_no, format($body$
-- Made by postrider.attach_table, which makes it again. Without words it locks those of the rows that nobody has locked ("held", their
-- places), and tells which others are there ("busy"). With words it writes them.
declare
    access record;
begin
    select r.* into access from postrider.row_access(%1$s) as r;
    if access.obstacle is not null then
        raise exception '%%', access.obstacle using errcode = 'object_not_in_prerequisite_state';
    end if;
    if words is null then
        execute access.lock_sql into held using row_keys;
        execute access.tell_sql into busy using row_keys, held;
        return;
    end if;
    -- The mark keeps our triggers from hearing it. Those of the owner find the path of the owner's sessions.
    perform set_config('postrider.write_back', %1$L, true), set_config('search_path', access.users_path, true);
    execute access.write_sql using row_keys, words;
    get diagnostics written = row_count;
    set constraints all immediate;
end
$body$, a.attachment_no))
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = a.relation
$$;
comment on function postrider.write_code(postrider.attachment) is
    'Returns the statements that make the function postrider_write_N for an attached table: it locks rows, and writes their status or '
    'deletes them. Private: attach_table runs them.';
revoke all on function postrider.write_code(postrider.attachment) from public;
grant execute on function postrider.write_code(postrider.attachment) to postrider_dispatcher;
