create or replace function postrider.check_column(relation regclass, setting text, name text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    names   constant text[] := array(select t.attname::text from pg_attribute as t
                where t.attrelid = check_column.relation and t.attnum > 0 and not t.attisdropped order by t.attnum);
    nearest text;
begin
    if check_column.name = any (names) then
        return;
    end if;
    nearest := postrider.nearest_name(check_column.name, names);
    raise exception 'table %: invalid %: there is no column "%"%', check_column.relation, check_column.setting, left(check_column.name, 63),
            coalesce('; "' || nearest || '" is meant?', '')
        using errcode = 'undefined_column',
              detail = 'Allowed is ' || array_to_string(names[1:20], ', ') || case when cardinality(names) > 20 then ' and so on' else '' end;
end
$$;
comment on function postrider.check_column(regclass, text, text) is
    'Raises 42703 if a table has no such column, with the name that was probably meant. Private.';
revoke all on function postrider.check_column(regclass, text, text) from public;
grant execute on function postrider.check_column(regclass, text, text) to postrider_dispatcher;
