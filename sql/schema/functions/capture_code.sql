-- The function stands in the table's schema and is the table owner's. So a condition runs with the rights of a role that could add
-- triggers anyway. The settings keep events from depending on the session, and to compile a plan would cost more than it saves. Nobody
-- else may make a trigger of the function, which would insert events with its owner's rights.
create or replace function postrider.capture_code(a postrider.attachment) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format($code$create or replace function %1$s() returns trigger
language plpgsql security definer set search_path = pg_catalog, %2$I, pg_temp
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
set jit = off
as %3$s;
revoke all on function %1$s() from public$code$,
        postrider.capture_name(a), n.nspname,
        case when position('$capture$' in b.body) > 0 then quote_literal(b.body) else '$capture$' || b.body || '$capture$' end)
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    cross join lateral (
        select E'\n-- Made by postrider.attach_table, which makes it again.\n#variable_conflict use_column\ndeclare\n'
            || format('    mark           constant text := coalesce(current_setting(%L, true), %L);', 'postrider.told_' || a.attachment_no, '') || E'\n'
            || E'    is_heard       boolean;\n    is_seen        boolean;\n    is_as_attached boolean;\n'
            || E'    is_late        boolean;\n    actions        text;\n    statement      text;\n'
            || E'    pair           record;\n    reason         text;\n    skipped        bigint := 0;\nbegin\n'
            || string_agg(format(E'    if tg_op = %L then%s\n    end if;\n', o.op,
                                 case o.op when 'TRUNCATE' then postrider.capture_truncate(a) else postrider.capture_branch(a, o.op) end),
                          '' order by o.place)
            || E'    return null;\nend\n' as body
        from (values (1, 'INSERT', '{insert}'::text[]), (2, 'UPDATE', '{update,delete}'), (3, 'DELETE', '{delete}'),
                     (4, 'TRUNCATE', '{truncate,delete}')) as o (place, op, ops)
        where a.on_ops && o.ops) as b
    where c.oid = a.relation
$$;
comment on function postrider.capture_code(postrider.attachment) is
    'SQL: makes the function that the triggers of an attached table call. Its owner must be the table''s. Private.';
revoke all on function postrider.capture_code(postrider.attachment) from public;
grant execute on function postrider.capture_code(postrider.attachment) to postrider_dispatcher;
