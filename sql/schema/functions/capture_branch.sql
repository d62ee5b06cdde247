-- One operation in the generated function:
--
--   ask once: is it paused, and are there rows at all; has the table its columns still?
--   yes: the insert, whose plan is kept        no: an insert for the columns of today, tried by a plan first
create or replace function postrider.capture_branch(a postrider.attachment, op text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    rows constant text := case op when 'DELETE' then 'old_rows' else 'new_rows' end;
    code text;
begin
    code := format($code$
        if is_as_attached then
%1$s;
            return null;
        end if;
        statement := postrider.capture_now(%2$s, tg_op);
        begin
            -- A condition may not fit the columns of today. That fails no statement.
            execute 'explain ' || statement;
        exception when others then
            insert into postrider.row_skipped (attachment_no, row_count, reason)
            select %2$s, count(*), sqlstate from %3$s;
            return null;
        end;
        execute statement;$code$,
        postrider.capture_event(a, op, postrider.capture_pairs(a, op)), a.attachment_no, rows);
    if a.on_error = 'skip' then
        code := postrider.capture_one_by_one(a, op, code);
    end if;
    return format($code$
        select a.state = 'active', postrider.is_as_attached(%1$s) into is_heard, is_as_attached
        from postrider.attachment as a
        where a.attachment_no = %1$s and exists (select from %2$s)%5$s;
        if is_heard is not true then
            return null;
        end if;%3$s%4$s$code$,
        a.attachment_no, rows,
        case op when 'UPDATE' then format($code$
        if is_as_attached then
            is_as_attached := not exists (select from old_rows as r group by %s having count(*) > 1);
        end if;$code$, (select string_agg('r.' || quote_ident(k.name), ', ') from unnest(a.key_columns) as k (name))) else '' end,
        code, postrider.captured_here(a));
end
$$;
comment on function postrider.capture_branch(postrider.attachment, text) is
    'PL/pgSQL: what the trigger of an attached table does after INSERT, UPDATE or DELETE. Private.';
revoke all on function postrider.capture_branch(postrider.attachment, text) from public;
grant execute on function postrider.capture_branch(postrider.attachment, text) to postrider_dispatcher;
