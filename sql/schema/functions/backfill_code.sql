-- The generated function does one of four things and decides nothing. postrider.make_backfill_batch decides, with the rights of a
-- dispatcher, because the owner of a table must not read the outbox.
--
--    find  reads the next rows behind "after", in order of the primary key, for 15 ms, up to "rows_max" that meet the condition
--    list  reads the next "rows_max" rows, whether or not they meet the condition
--    lock  locks those of these rows that nobody has locked; the others that meet the condition are "held"
--    send  inserts an event for each of these rows that meets the condition
--
-- Keys are compared in their own types, so that the index of the primary key gives the order. The table is named by its caller, because
-- it may have been renamed; only one with our triggers is read.
create or replace function postrider.backfill_code(a postrider.attachment) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    home      constant name := (select n.nspname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
                                where c.oid = a.relation::oid);
    -- Stands for the name of the table. No condition has this word in it.
    source    constant text := 'table_' || md5(a.attachment_no || coalesce(a.when_sql, ''));
    row_key   constant text := format('%L || %s', a.attachment_no, postrider.captured_key(a, 'new'));
    condition constant text := coalesce(E'coalesce((\n' || a.when_sql || E'\n    ), false)', 'true');
    reads     constant text := format('cross join lateral (select %s) as new', postrider.captured_row(a, 'r'));
    old       constant text := format('cross join lateral (select %s) as old', postrider.captured_nulls(a, 'new'));
    keys      constant text[] := array(select format('r.%I', k.name) from unnest(a.key_columns) with ordinality as k (name, place)
                                       order by k.place);
    values_of text[];
    given     text;
    next_rows text;
begin
    -- The key that a row_key names: of $1, or of k.row_key.
    select array_agg(format('(substr(ROW_KEY, strpos(ROW_KEY, ''[''))::json ->> %s)::%s', k.place - 1, format_type(t.atttypid, t.atttypmod))
                     order by k.place) into values_of
    from unnest(a.key_columns) with ordinality as k (name, place)
    join pg_attribute as t on t.attrelid = a.relation::oid and t.attname = k.name and not t.attisdropped;
    given := format(E'unnest($1) with ordinality as k (row_key, place)\njoin %s as r on %s', source,
        (select string_agg(keys[n] || ' = ' || replace(values_of[n], 'ROW_KEY', 'k.row_key'), ' and ')
         from generate_subscripts(keys, 1) as n));
    next_rows := format(E'select %s as row_key, IS_WANTED as is_wanted\nfrom %s as r\n%s\n%s\nwhere ($1 is null or (%s) > (%s))\norder by %s\nlimit 10000',
        row_key, source, reads, old, array_to_string(keys, ', '), replace(array_to_string(values_of, ', '), 'ROW_KEY', '$1'),
        array_to_string(keys, ', '));
    return format($code$create or replace function %1$I.%2$I(
    action text, relation regclass, after text, rows_max integer, row_keys text[],
    out chosen text[], out held text[], out rows_done integer, out last_key text, out is_end boolean
) language plpgsql volatile security definer
set search_path = pg_catalog, %1$I, pg_temp
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
set lock_timeout = '100ms' set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as %3$L;
revoke all on function %1$I.%2$I from public; grant execute on function %1$I.%2$I to postrider_dispatcher;
$code$, home, 'postrider_backfill_' || a.attachment_no, format($body$
-- Made by postrider.attach_table, which makes it again.
declare
    began  constant timestamptz := clock_timestamp();
    source text;
    one    record;
begin
    select case c.relkind when 'r' then 'only ' else '' end || c.oid::regclass into source
    from pg_class as c
    where c.oid = relation
      and exists (select from pg_trigger as t
                  join pg_proc as p on p.oid = t.tgfoid
                  join pg_roles as o on o.oid = p.proowner
                  where t.tgrelid = c.oid and p.proname = %1$L and o.rolname = current_user);
    if source is null then
        raise exception 'the table is gone, or has no trigger of Postrider any more' using errcode = 'undefined_table';
    end if;
    chosen := '{}';
    held := '{}';
    rows_done := 0;
    if action in ('find', 'list') then
        is_end := true;
        for one in execute replace(case action when 'find' then %2$L else %3$L end, %4$L, source) using after loop
            rows_done := rows_done + 1;
            last_key := one.row_key;
            if one.is_wanted then
                chosen := array_append(chosen, one.row_key);
            end if;
            if cardinality(chosen) >= rows_max or rows_done >= 10000
               or rows_done %% 200 = 0 and clock_timestamp() > began + interval '15 milliseconds' then
                is_end := false;
                exit;
            end if;
        end loop;
    elsif action = 'lock' then
        execute replace(%5$L, %4$L, source) using row_keys into chosen;
        if cardinality(chosen) < cardinality(row_keys) then
            execute replace(%6$L, %4$L, source) using row_keys, chosen into held;
        end if;
    elsif action = 'send' then
        execute replace(%7$L, %4$L, source) using row_keys;
        get diagnostics rows_done = row_count;
    end if;
end
$body$,
        'postrider_capture_' || a.attachment_no,
        replace(next_rows, 'IS_WANTED', condition),
        replace(next_rows, 'IS_WANTED', 'true'),
        source,
        format('select coalesce(array_agg(l.row_key order by l.place), ''{}'') from (select k.row_key, k.place from %s for share of r skip locked) as l', given),
        format('select coalesce(array_agg(k.row_key order by k.place), ''{}'') from %s %s %s where k.row_key <> all ($2) and %s',
               given, reads, old, condition),
        postrider.capture_event(a, 'READ', format(E'(select %s\n from %s) as new\n%s', postrider.captured_row(a, 'r'), given, old))));
end
$$;
comment on function postrider.backfill_code(postrider.attachment) is
    'Returns the statement that makes the function postrider_backfill_N for an attached table: it reads, locks and sends rows that were '
    'there before. Private: attach_table runs it.';
revoke all on function postrider.backfill_code(postrider.attachment) from public;
grant execute on function postrider.backfill_code(postrider.attachment) to postrider_dispatcher;
