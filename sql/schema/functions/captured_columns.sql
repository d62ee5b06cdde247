-- The columns that an attached table had when it was attached, as it has them now. One that is gone has its old type, so that a null
-- can stand for it.
create or replace function postrider.captured_columns(
    a postrider.attachment,
    out place integer, out name text, out ident text, out is_there boolean, out type regtype, out is_key boolean, out is_told boolean,
    out text_max integer
) returns setof record
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    -- PL/pgSQL, which keeps the plan: many functions ask.
    return query
    select k.place::integer, k.name, quote_ident(k.name), t.attname is not null,
           case b.typtype when 'd' then postrider.base_type(b.oid) else coalesce(b.oid, 'text'::regtype)::regtype end,
           k.name = any (a.key_columns), a.columns is null or k.name = any (a.columns), m.bytes
    from (select e.place, e.value ->> 'name' as name, e.value ->> 'type' as type
          from jsonb_array_elements(a.known_columns) with ordinality as e (value, place)) as k
    left join pg_attribute as t on t.attrelid = a.relation and t.attname = k.name and t.attnum > 0 and not t.attisdropped
        and t.attgenerated <> 'v' and has_column_privilege(a.relation::oid, t.attnum, 'select') is not null
    left join pg_type as b on b.oid = coalesce(t.atttypid, to_regtype(k.type)::oid)
    left join (values ('bool'::regtype, 5), ('int2', 6), ('int4', 11), ('int8', 20), ('oid', 10), ('uuid', 36), ('inet', 49), ('cidr', 49),
                      ('date', 20), ('timestamp', 40), ('timestamptz', 40), ('numeric', 200000)) as m (type, bytes) on m.type = b.oid
    order by k.place;
end
$$;
comment on function postrider.captured_columns(postrider.attachment) is
    'The columns of an attached table that its events are made of: name, and quoted as ident; whether it is still there; the type under '
    'its domain; whether the primary key has it, and whether payloads show it; the most bytes that its text may have, where that text never '
    'needs an escape in JSON, otherwise null. Private.';
revoke all on function postrider.captured_columns(postrider.attachment) from public;
grant execute on function postrider.captured_columns(postrider.attachment) to postrider_dispatcher;
