-- An update that leaves the columns as they are, byte for byte, sends nothing. Columns left out are not looked at.
-- The condition stands on lines of its own, because it may end in a comment.
create or replace function postrider.captured_filter(a postrider.attachment, op text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(E'\nwhere ' || string_agg(f.filter, E'\n    and ' order by f.place), '')
    from (select string_agg('new.' || c.ident, ', ' order by c.place) as new, string_agg('old.' || c.ident, ', ' order by c.place) as old
          from postrider.captured_columns(a) as c where c.is_told) as c
    cross join lateral (values
        (1, case when op = 'UPDATE' and not a.on_ops @> '{insert,update,delete}' then format('event.op = any (%L)', a.on_ops) end),
        (2, case when op = 'UPDATE' then format(
            '(not event.is_pair or row(%s)::record operator(pg_catalog.*<>) row(%s)::record)', c.new, c.old) end),
        (3, E'coalesce((\n' || a.when_sql || E'\n    ), false)')) as f (place, filter)
$$;
comment on function postrider.captured_filter(postrider.attachment, text) is
    'SQL: the "where" of an event''s insert. No part of it is strict on "new" or "old". Private.';
revoke all on function postrider.captured_filter(postrider.attachment, text) from public;
grant execute on function postrider.captured_filter(postrider.attachment, text) to postrider_dispatcher;
