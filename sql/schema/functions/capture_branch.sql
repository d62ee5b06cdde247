-- One operation in the generated function:
--
--   ask once: is it paused, and are there rows at all; has the table its columns still?
--   yes: the insert, whose plan is kept        no: an insert for the columns of today, tried by a plan first
--
-- With on_error => 'skip' a failure leads to the rows one by one.
create or replace function postrider.capture_branch(a postrider.attachment, op text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    rows  constant text := case op when 'DELETE' then 'old_rows' else 'new_rows' end;
    note  constant text := format('insert into postrider.row_skipped (attachment_no, row_count, reason)');
    pairs constant text := postrider.capture_pairs(a, op);
    code  text;
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
            %3$s
            select %2$s, count(*), sqlstate from %4$s;
            return null;
        end;
        execute statement;$code$,
        postrider.capture_event(a, op, pairs), a.attachment_no, note, rows);
    if a.on_error = 'skip' then
        code := format($code$
        begin%1$s
            return null;
        exception when others then
            if sqlstate like '40%%' then
                raise;
            end if;
            reason := sqlstate;
        end;
        if not is_as_attached then
            %2$s
            select %3$s, count(*), reason from %4$s;
            return null;
        end if;
        for pair in select %5$s from %6$s loop
            begin
%7$s;
            exception when others then
                if sqlstate like '40%%' then
                    raise;
                end if;
                reason := sqlstate;
                skipped := skipped + 1;
            end;
        end loop;
        %2$s
        select %3$s, skipped, reason where skipped > 0;$code$,
            code, note, a.attachment_no, rows,
            (select string_agg(format('new.%1$s as n%2$s, old.%1$s as o%2$s', c.ident, c.place), ', ' order by c.place) from postrider.captured_columns(a) as c),
            pairs,
            (select postrider.capture_event(a, op, format(E'(select %s) as new\ncross join (select %s) as old',
                string_agg(format('pair.n%s as %s', c.place, c.ident), ', ' order by c.place),
                string_agg(format('pair.o%s as %s', c.place, c.ident), ', ' order by c.place)))
             from postrider.captured_columns(a) as c));
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
