-- How the rows of an attached table are locked, found and written, with names and types qualified and quoted. The generated function asks
-- each time, with the rights of the table's owner, who may change the table at any time.
create or replace function postrider.row_access(
    attachment_no integer, out lock_sql text, out tell_sql text, out write_sql text, out users_path text, out obstacle text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    attached    record;
    found_keys  integer;
    matches     text;
    status_type text;
    wanted      text;
begin
    select a.relation, a.key_columns, a.status_column, a.write_back into attached
    from postrider.attachment as a where a.attachment_no = row_access.attachment_no;
    -- The key's own operator: a key of type citext is not compared by the one of text. -1 keeps a type without its length, so that a
    -- word that is too long is refused, and not cut off.
    select count(*), string_agg(format('t.%I operator(%I.%s) (w.key ->> %s)::%s', a.attname, n.nspname, o.oprname, k.place - 1,
                                       format_type(a.atttypid, -1)), ' and ' order by k.place)
    into found_keys, matches
    from unnest(attached.key_columns) with ordinality as k (name, place)
    join pg_attribute as a on a.attrelid = attached.relation and a.attname = k.name and not a.attisdropped
    join pg_index as i on i.indrelid = attached.relation and i.indisprimary
    join lateral unnest(i.indkey::int2[], i.indclass::oid[]) as x (attnum, opclass) on x.attnum = a.attnum
    join pg_opclass as c on c.oid = x.opclass
    join pg_amop as m on m.amopfamily = c.opcfamily and m.amopstrategy = 3
        and m.amoplefttype = c.opcintype and m.amoprighttype = c.opcintype
    join pg_operator as o on o.oid = m.amopopr
    join pg_namespace as n on n.oid = o.oprnamespace;
    select format_type(a.atttypid, -1) into status_type
    from pg_attribute as a
    where a.attrelid = attached.relation and a.attname = attached.status_column and not a.attisdropped;
    -- The path that sessions of the table's owner have, and behind it the table's schema.
    select concat_ws(', ', 'pg_catalog', coalesce(
               (select nullif(substr(s.setting, length('search_path=') + 1), '""')
                from pg_db_role_setting as d, unnest(d.setconfig) as s (setting)
                where d.setrole in (0, c.relowner)
                  and d.setdatabase in (0, (select b.oid from pg_database as b where b.datname = current_database()))
                  and s.setting like 'search_path=%'
                order by d.setrole <> 0 desc, d.setdatabase <> 0 desc
                limit 1),
               '"$user", public'), quote_ident(n.nspname))
    into users_path
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = attached.relation;
    obstacle := case
        when users_path is null then 'the table is gone'
        when attached.write_back = 'none' then 'no status is asked for'
        when found_keys < cardinality(attached.key_columns) then 'the primary key is not what it was when the table was attached'
        when attached.write_back <> 'delete' and status_type is null then format('column %I is gone', attached.status_column) end;
    wanted := format('(select r.row_key, r.place, substr(r.row_key, strpos(r.row_key, ''[''))::json as key
                       from unnest($1::text[]) with ordinality as r (row_key, place)) as w join %s as t on %s',
                     attached.relation, matches);
    lock_sql := format('select coalesce(array_agg(h.place), ''{}'') from (select w.place from %s for %s of t skip locked) as h', wanted,
                       case attached.write_back when 'delete' then 'update' else 'no key update' end);
    tell_sql := format('select coalesce(array_agg(w.row_key), ''{}'') from %s where w.place <> all ($2)', wanted);
    wanted := 'unnest($1::text[], $2::text[]) as r (row_key, word)
               cross join lateral (select substr(r.row_key, strpos(r.row_key, ''[''))::json as key) as w';
    write_sql := case attached.write_back
        when 'delete' then format('delete from %s as t using %s where %s', attached.relation, wanted, matches)
        else format('update %1$s as t set %2$I = r.word::%3$s from %4$s where %5$s and t.%2$I::text is distinct from r.word::%3$s::text',
                    attached.relation, attached.status_column, status_type, wanted, matches) end;
end
$$;
comment on function postrider.row_access(integer) is
    'The statements that lock rows of an attached table, tell which others are there, and write the status; or why that cannot be done '
    '(obstacle). Private.';
revoke all on function postrider.row_access(integer) from public;
grant execute on function postrider.row_access(integer) to postrider_dispatcher;
