-- A failure leads to the rows one by one. Each is read before, so that what fails is the making of its event alone.
create or replace function postrider.capture_one_by_one(a postrider.attachment, op text, code text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format($code$
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
        code, 'insert into postrider.row_skipped (attachment_no, row_count, reason)', a.attachment_no,
        case op when 'DELETE' then 'old_rows' else 'new_rows' end, c.reads, postrider.capture_pairs(a, op),
        postrider.capture_event(a, op, format(E'(select %s) as new\ncross join (select %s) as old', c.new, c.old)))
    from (select string_agg(format('new.%1$s as n%2$s, old.%1$s as o%2$s', c.ident, c.place), ', ' order by c.place) as reads,
                 string_agg(format('pair.n%s as %s', c.place, c.ident), ', ' order by c.place) as new,
                 string_agg(format('pair.o%s as %s', c.place, c.ident), ', ' order by c.place) as old
          from postrider.captured_columns(a) as c) as c
$$;
comment on function postrider.capture_one_by_one(postrider.attachment, text, text) is
    'PL/pgSQL: code that inserts the events of a statement, with what on_error => ''skip'' puts around it. Private.';
revoke all on function postrider.capture_one_by_one(postrider.attachment, text, text) from public;
grant execute on function postrider.capture_one_by_one(postrider.attachment, text, text) to postrider_dispatcher;
