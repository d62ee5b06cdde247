-- A truncate of a partitioned table fires the triggers of all its partitions, too, after its own. So the table says that it was heard,
-- until the next truncate: before that, the trigger of a partition takes it back.
create or replace function postrider.capture_truncate(a postrider.attachment) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format($code$
        select coalesce(a.state = 'active', true) into is_heard
        from (select) as one left join postrider.attachment as a on a.attachment_no = %1$s
        where true%2$s;
        if is_heard = false and current_setting('transaction_isolation') <> 'read committed' then
            is_heard := postrider.is_resumed(%1$s);
        end if;
        if is_heard is not true then
            return null;
        end if;%3$s$code$, a.attachment_no, postrider.captured_here(a),
        case when not 'truncate' = any (a.on_ops) then format($code$
        perform postrider.refuse_event(%s, 'truncate', null);$code$, a.attachment_no)
        when c.relkind <> 'p' then format($code$
%s;$code$, t.event)
        else format($code$
        if tg_when = 'BEFORE' then
            perform set_config('postrider.truncated', '', true);
            return null;
        end if;
        if exists (select from pg_partition_ancestors(tg_relid) as p (id)
                   where p.id <> tg_relid and p.id::oid::text = current_setting('postrider.truncated', true)) then
            return null;
        end if;
%s;
        if exists (select from pg_class as c where c.oid = tg_relid and c.relkind = 'p') then
            perform set_config('postrider.truncated', tg_relid::text, true);
        end if;$code$, t.event) end)
    from pg_class as c
    cross join lateral (select postrider.capture_event(a, 'TRUNCATE', null) as event) as t
    where c.oid = a.relation
$$;
comment on function postrider.capture_truncate(postrider.attachment) is
    'PL/pgSQL: what the trigger of an attached table does at TRUNCATE. Private.';
revoke all on function postrider.capture_truncate(postrider.attachment) from public;
grant execute on function postrider.capture_truncate(postrider.attachment) to postrider_dispatcher;
