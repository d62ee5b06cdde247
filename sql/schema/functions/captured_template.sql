create or replace function postrider.captured_template(a postrider.attachment, template text, has_row boolean default true) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- Every second part is a name.
    select coalesce(string_agg(
        case when p.place % 2 = 1 then quote_literal(p.part)
             when p.part = 'op' then 'event.op'
             when has_row then coalesce('coalesce(' || postrider.captured_text(a, p.part) || ', '''')', '''''')
             else '''''' end,
        ' || ' order by p.place) filter (where p.part <> '' or p.place = 1), '''''')
    from unnest(string_to_array(replace(template, '}', '{'), '{')) with ordinality as p (part, place)
$$;
comment on function postrider.captured_template(postrider.attachment, text, boolean) is
    'SQL: a template with the values of the row that an event tells of: {column}, which is empty for null, and {op}. Private.';
revoke all on function postrider.captured_template(postrider.attachment, text, boolean) from public;
grant execute on function postrider.captured_template(postrider.attachment, text, boolean) to postrider_dispatcher;
