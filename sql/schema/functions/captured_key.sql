-- The text of a number, a uuid or a time has nothing that JSON escapes. To put it together is cheaper than to build an array.
create or replace function postrider.captured_key(a postrider.attachment, side text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when bool_and(c.is_there) then
               case when count(c.text_max) = count(*)
                    then '''["'' || ' || string_agg(format('%s.%s::text', side, c.ident), ' || ''", "'' || ' order by k.place) || ' || ''"]'''
                    else format('json_build_array(%s)::text', string_agg(format('%s.%s::text', side, c.ident), ', ' order by k.place)) end end
    from unnest(a.key_columns) with ordinality as k (name, place)
    join postrider.captured_columns(a) as c on c.name = k.name
$$;
comment on function postrider.captured_key(postrider.attachment, text) is
    'SQL: the primary key of side as a JSON array of texts, ["42"]. Null: a column of it is gone. Private.';
revoke all on function postrider.captured_key(postrider.attachment, text) from public;
grant execute on function postrider.captured_key(postrider.attachment, text) to postrider_dispatcher;
