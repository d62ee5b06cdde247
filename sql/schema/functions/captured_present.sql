-- A trigger with the rights of the table's owner reads the table. Policies that hold for the owner would hide rows that are there, and then
-- nothing is read. The operator is that of the primary key's index, wherever its type comes from.
create or replace function postrider.captured_present(a postrider.attachment) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format(E'left join (select %s, true as %s from %s as r) as present\n    on %s', postrider.captured_row(a, 'r'),
                  postrider.captured_place(a), a.relation,
                  string_agg(format('present.%1$s operator(%2$I.%3$s) coalesce(new.%1$s, old.%1$s)', quote_ident(t.attname), n.nspname, o.oprname),
                             ' and ' order by k.place))
    from pg_index as i
    join pg_class as c on c.oid = i.indrelid and not c.relforcerowsecurity and has_table_privilege(c.relowner, c.oid, 'select')
    cross join unnest(i.indkey::smallint[], i.indclass::oid[]) with ordinality as k (attnum, opclass, place)
    join pg_attribute as t on t.attrelid = i.indrelid and t.attnum = k.attnum
    join pg_opclass as p on p.oid = k.opclass
    join pg_amop as m on m.amopfamily = p.opcfamily and m.amopstrategy = 3 and m.amoplefttype = p.opcintype and m.amoprighttype = p.opcintype
    join pg_operator as o on o.oid = m.amopopr
    join pg_namespace as n on n.oid = o.oprnamespace
    where i.indrelid = a.relation and i.indisprimary
    having array_agg(t.attname order by k.place) = a.key_columns
$$;
comment on function postrider.captured_present(postrider.attachment) is
    'SQL: joins "present", what the table has now of a row, to "new" and "old". Null: that cannot be read. Private.';
revoke all on function postrider.captured_present(postrider.attachment) from public;
grant execute on function postrider.captured_present(postrider.attachment) to postrider_dispatcher;
