-- The rows of an update are paired by their primary key as text, as events name them. So a changed primary key is a row that is gone
-- and one that is new. Nothing in "where" is strict on one side (postrider.captured_filter), so the full join stays one, and is hashed
-- or merged. A nested loop, planned for one row and used for many, would be slow.
create or replace function postrider.capture_pairs(a postrider.attachment, op text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when op = 'DELETE' then format(E'(select %s from old_rows as r) as old\ncross join lateral (select %s) as new',
                                       c.reads, postrider.captured_nulls(a, 'old'))
        when op <> 'UPDATE' or c.new is null then format(E'(select %s from new_rows as r) as new\ncross join lateral (select %s) as old',
                                                         c.reads, postrider.captured_nulls(a, 'new'))
        else format(E'(select %1$s from new_rows as r) as new\nfull join (select %1$s from old_rows as r) as old\n'
                    '    on %2$s collate "C" = %3$s collate "C"', c.reads, c.new, c.old) end
    from (select postrider.captured_row(a, 'r') as reads, postrider.captured_key(a, 'new') as new, postrider.captured_key(a, 'old') as old) as c
$$;
comment on function postrider.capture_pairs(postrider.attachment, text) is
    'SQL: what stands after "from" in the trigger of an operation, INSERT, UPDATE or DELETE: "new" and "old" with the columns of the '
    'attached table, all null where there is no such row. Private.';
revoke all on function postrider.capture_pairs(postrider.attachment, text) from public;
grant execute on function postrider.capture_pairs(postrider.attachment, text) to postrider_dispatcher;
