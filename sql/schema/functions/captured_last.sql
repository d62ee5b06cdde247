-- For example, a foreign key sets a column of a row to null, and another deletes the row, in one statement. The delete may be told first.
-- Then the update says nothing new, and after a delete it would say something wrong. But where the condition hides the delete, the update
-- is all that is told.
create or replace function postrider.captured_last(a postrider.attachment) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select string_agg(format(E'\n    and (%s or %s or not %s)', s.other, s.stays, s.is_told), '' order by s.side)
    from (select quote_ident(a.key_columns[1]) as ident, postrider.captured_place(a) as place) as k
    cross join lateral (
        select string_agg('SIDE.' || c.ident || ' as ' || c.ident, ', ' order by c.place) as all_of_it
        from postrider.captured_columns(a) as c) as c
    cross join lateral (values
        ('new', 'new.' || k.ident || ' is null', 'present.' || k.place || ' is not null', case
            when 'delete' <> all (a.on_ops) then 'false'
            when a.when_sql is null then 'true'
            else format(E'(select coalesce((\n%s\n    ), false) from (select %s) as old cross join lateral (select %s) as new)',
                        a.when_sql, replace(c.all_of_it, 'SIDE', 'new'), postrider.captured_nulls(a, 'old')) end),
        ('old', 'new.' || k.ident || ' is not null', 'present.' || k.place || ' is null', case
            when 'insert' <> all (a.on_ops) then 'false'
            when a.when_sql is null then 'true'
            else format(E'(select coalesce((\n%s\n    ), false) from (select %s) as new cross join lateral (select %s) as old)',
                        a.when_sql, replace(c.all_of_it, 'SIDE', 'present'), postrider.captured_nulls(a, 'new')) end)
        ) as s (side, other, stays, is_told)
$$;
comment on function postrider.captured_last(postrider.attachment) is
    'SQL: more of the "where" of an event''s insert, where other triggers may have told of the row: leaves out a row that is gone, and the '
    'deletion of one that is there again, if that was told. Private.';
revoke all on function postrider.captured_last(postrider.attachment) from public;
grant execute on function postrider.captured_last(postrider.attachment) to postrider_dispatcher;
