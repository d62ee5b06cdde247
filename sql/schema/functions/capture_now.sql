-- Foreign keys may change one row several times in one statement. So the versions of a key are counted here, in the order in which the
-- statement made them, and are paired and told in it.
create or replace function postrider.capture_now(attachment_no integer, op text, is_late boolean) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    a       postrider.attachment;
    place   text;
    names   text;
    sides   text[] := '{}';
    source  text;
    pairs   text;
    present text;
begin
    select * into a from postrider.attachment as t where t.attachment_no = capture_now.attachment_no;
    present := case when is_late and postrider.captured_key(a, 'c') is not null then postrider.captured_present(a) end;
    if op <> 'UPDATE' or postrider.captured_key(a, 'c') is null then
        pairs := postrider.capture_pairs(a, op);
        return postrider.capture_event(a, op, pairs || coalesce(E'\n' || present, ''), present is not null);
    end if;
    place := postrider.captured_place(a);
    select string_agg('c.' || c.ident, ', ' order by c.place) into names from postrider.captured_columns(a) as c;
    foreach source in array array['new_rows', 'old_rows'] loop
        sides := sides || format(
            'select %1$s, row_number() over (partition by %2$s order by c.%3$s) as %3$s from (select %4$s, row_number() over () as %3$s from %5$s as r) as c',
            names, postrider.captured_key(a, 'c'), place, postrider.captured_row(a, 'r'), source);
    end loop;
    pairs := format(
        E'(%1$s) as new\nfull join (%2$s) as old\n    on %3$s collate "C" = %4$s collate "C" and new.%5$s = old.%5$s',
        sides[1], sides[2], postrider.captured_key(a, 'new'), postrider.captured_key(a, 'old'), place);
    return postrider.capture_event(a, op, pairs || coalesce(E'\n' || present, ''), present is not null)
        || format(E'\norder by coalesce(new.%1$s, old.%1$s)', place);
end
$$;
comment on function postrider.capture_now(integer, text, boolean) is
    'SQL: inserts the events of a statement, for the columns that an attached table has now. Its generated trigger runs this where the '
    'statement that stands in it does not fit. is_late: others may have told of its rows already. Private.';
revoke all on function postrider.capture_now(integer, text, boolean) from public;
grant execute on function postrider.capture_now(integer, text, boolean) to postrider_dispatcher;
