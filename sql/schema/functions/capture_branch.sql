-- One operation in the generated function:
--
--   ask once: is it paused, and are there rows at all; has the table its columns still?
--   have others told of these rows already?
--   yes, no: the insert, whose plan is kept        else: an insert for the columns and rows of now, tried by a plan first
--
-- A transaction whose snapshot is older than the attachment does not see it, and is heard. One whose snapshot is older than the end of a
-- pause is heard, too.
--
-- Statements inside another's row triggers end before it, and so do their triggers of ours. They leave a mark: how deep they were, in
-- which statement of the client. A trigger that is less deep and finds the mark reads what has become of its rows. A delete leaves a
-- deeper mark than its own where foreign keys may have changed a row before it in the same statement.
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
        loop
            statement := postrider.capture_now(%2$s, tg_op, is_late);
            begin
                -- A condition may not fit the columns of today. That fails no statement.
                execute 'explain ' || statement;
                exit;
            exception when others then
                if not is_late then
                    insert into postrider.row_skipped (attachment_no, row_count, reason)
                    select %2$s, count(*), sqlstate from %3$s;
                    return null;
                end if;
                is_late := false;
            end;
        end loop;
        execute statement;$code$,
        postrider.capture_event(a, op, postrider.capture_pairs(a, op)), a.attachment_no, rows);
    if a.on_error = 'skip' then
        code := postrider.capture_one_by_one(a, op, code);
    end if;
    return format($code$
        select coalesce(a.state = 'active', true), a.attachment_no is not null, a.attachment_no is null or postrider.is_as_attached(%1$s)%2$s
        into is_heard, is_seen, is_as_attached%3$s
        from (select) as one
        left join postrider.attachment as a on a.attachment_no = %1$s
        where exists (select from %4$s)%5$s;
        if is_heard = false and current_setting('transaction_isolation') <> 'read committed' then
            is_heard := postrider.is_resumed(%1$s);
        end if;
        if is_heard is not true then
            return null;
        end if;
        is_late := mark <> '' and starts_with(mark, extract(epoch from statement_timestamp())::text || repeat(' ', pg_trigger_depth() + 1));
        if pg_trigger_depth() > 1%6$s then
            perform set_config('postrider.told_%1$s', extract(epoch from statement_timestamp())::text || repeat(' ', pg_trigger_depth()%7$s), true);
        end if;
        is_as_attached := is_as_attached and not (is_seen and is_late);%8$s%9$s$code$,
        a.attachment_no,
        case op when 'INSERT' then '' else format(', coalesce(postrider.foreign_actions(%s), ''delete'')', a.attachment_no) end,
        case op when 'INSERT' then '' else ', actions' end,
        rows, postrider.captured_here(a),
        case op when 'DELETE' then ' or actions = ''delete''' else '' end,
        case op when 'DELETE' then ' + case actions when ''delete'' then 1 else 0 end' else '' end,
        case op when 'UPDATE' then format($code$
        if is_as_attached and is_seen and actions <> 'none' then
            is_as_attached := not exists (select from old_rows as r group by %s having count(*) > 1);
        end if;$code$, (select string_agg('r.' || quote_ident(k.name), ', ') from unnest(a.key_columns) as k (name))) else '' end,
        code);
end
$$;
comment on function postrider.capture_branch(postrider.attachment, text) is
    'PL/pgSQL: what the trigger of an attached table does after INSERT, UPDATE or DELETE. Private.';
revoke all on function postrider.capture_branch(postrider.attachment, text) from public;
grant execute on function postrider.capture_branch(postrider.attachment, text) to postrider_dispatcher;
