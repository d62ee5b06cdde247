-- The rows of an update are paired by their primary key as text, as events name them. So a changed primary key is a row that is gone
-- and one that is new. Nothing in "where" is strict on one side (postrider.capture_event), so the full join stays one and is hashed. A
-- nested loop, planned for one row and used for many, would be slow.
--
-- Foreign keys may change one row several times in one statement. Careful pairs count how often a key has occurred.
create or replace function postrider.capture_pairs(a postrider.attachment, op text, is_careful boolean default false) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    reads  constant text := postrider.captured_row(a, 'r');
    sides  text[] := array['new_rows', 'old_rows'];
    names  text;
    place  text;
    source text;
begin
    if op = 'DELETE' then
        return format(E'(select %s from old_rows as r) as old\ncross join lateral (select %s) as new',
                      reads, postrider.captured_nulls(a, 'old'));
    elsif op <> 'UPDATE' or postrider.captured_key(a, 'r') is null then
        return format(E'(select %s from new_rows as r) as new\ncross join lateral (select %s) as old',
                      reads, postrider.captured_nulls(a, 'new'));
    end if;
    select string_agg('c.' || c.ident, ', ' order by c.place), 'place' || repeat('_', max(length(c.name)))
    into names, place
    from postrider.captured_columns(a) as c;
    for n in 1 .. 2 loop
        source := format('select %s from %s as r', reads, sides[n]);
        if is_careful then
            source := format('select %s, row_number() over (partition by %s order by c.%s) as %3$s from (%s) as c', names,
                             postrider.captured_key(a, 'c'), place,
                             format('select %s, row_number() over () as %s from %s as r', reads, place, sides[n]));
        end if;
        sides[n] := source;
    end loop;
    return format(E'(%s) as new\nfull join (%s) as old\n    on %s collate "C" = %s collate "C"%s', sides[1], sides[2],
                  postrider.captured_key(a, 'new'), postrider.captured_key(a, 'old'),
                  case when is_careful then format(' and new.%1$s = old.%1$s', place) else '' end);
end
$$;
comment on function postrider.capture_pairs(postrider.attachment, text, boolean) is
    'SQL: what stands after "from" in the trigger of an operation, INSERT, UPDATE or DELETE: "new" and "old" with the columns of the '
    'attached table, all null where there is no such row. Private.';
revoke all on function postrider.capture_pairs(postrider.attachment, text, boolean) from public;
grant execute on function postrider.capture_pairs(postrider.attachment, text, boolean) to postrider_dispatcher;
