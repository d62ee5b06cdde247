create or replace function postrider.captured_told(a postrider.attachment, op text, is_late boolean default false) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format(E'cross join lateral (select %s) as told\ncross join lateral (select %s) as event%s', c.told,
        case when p.is_pair then format(
                 'case when old.%1$s is null then ''insert'' when new.%1$s is null then ''delete'' else ''update'' end as op, '
                 'new.%1$s is not null and old.%1$s is not null as is_pair', p.key)
             else format('%L::text as op, false as is_pair', lower(op)) end,
        case when p.is_pair and a.payload = 'change' then format(
            E'\ncross join lateral (\n    select json_agg(c.name) as changed, json_object_agg(c.name, c.previous) as previous\n'
            '    from (values %s) as c (name, previous) where c.previous is not null) as difference', c.differences) else '' end)
    -- A column of the primary key is not null in a row that there is.
    from (select op = 'UPDATE' and postrider.captured_key(a, 'r') is not null as is_pair, quote_ident(a.key_columns[1]) as key,
                 case when is_late then 'when present.' || postrider.captured_place(a) || ' then present.%2$s ' else '' end as late) as p
    cross join lateral (
        select string_agg(format(
                   case when p.is_pair then 'case when new.%1$s is null then old.%2$s ' || p.late || 'else new.%2$s end as %2$s'
                        when op = 'DELETE' then 'old.%2$s as %2$s'
                        when is_late then 'case ' || p.late || 'else new.%2$s end as %2$s'
                        else 'new.%2$s as %2$s' end, p.key, c.ident), ', ' order by c.place) as told,
               string_agg(format(
                   '(%L, case when row(new.%2$s)::record operator(pg_catalog.*<>) row(old.%2$s)::record '
                   'then coalesce(to_json(old.%2$s), ''null'') end)', c.name, c.ident),
                   ', ' order by c.place) filter (where c.is_told) as differences
        from postrider.captured_columns(a) as c) as c
$$;
comment on function postrider.captured_told(postrider.attachment, text, boolean) is
    'SQL: what follows the pairs in a "from": "told", the row that the event tells of, and "event" with op. is_late: a row is told as it '
    'is by now. Private.';
revoke all on function postrider.captured_told(postrider.attachment, text, boolean) from public;
grant execute on function postrider.captured_told(postrider.attachment, text, boolean) to postrider_dispatcher;
