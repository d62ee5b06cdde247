-- The function stands in the table's schema and is the table owner's. So a condition runs with the rights of a role that could add
-- triggers anyway. The settings keep a row_key from depending on the session. Nobody else may make a trigger of it, which would insert
-- events with its owner's rights.
create or replace function postrider.capture_code(a postrider.attachment) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format($code$create or replace function %1$s() returns trigger
language plpgsql security definer set search_path = pg_catalog, %2$I, pg_temp
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
as %3$L;
revoke all on function %1$s() from public;
$code$, postrider.capture_name(a), n.nspname, format($code$
-- Made by postrider.attach_table, which makes it again.
#variable_conflict use_column
declare
    is_heard       boolean;
    is_as_attached boolean;
    statement      text;
    pair           record;
    reason         text;
    skipped        bigint := 0;
begin
    if tg_op = 'INSERT' then%s
    elsif tg_op = 'UPDATE' then%s
    elsif tg_op = 'DELETE' then%s
    else%s
    end if;
    return null;
end
$code$, postrider.capture_branch(a, 'INSERT'), postrider.capture_branch(a, 'UPDATE'), postrider.capture_branch(a, 'DELETE'),
        postrider.capture_truncate(a)))
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = a.relation
$$;
comment on function postrider.capture_code(postrider.attachment) is
    'SQL: makes the function that the triggers of an attached table call. Its owner must be the table''s. Private.';
revoke all on function postrider.capture_code(postrider.attachment) from public;
grant execute on function postrider.capture_code(postrider.attachment) to postrider_dispatcher;
