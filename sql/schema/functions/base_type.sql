create or replace function postrider.base_type(type regtype) returns regtype
language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive under as (
        select t.oid, t.typtype, t.typbasetype from pg_type as t where t.oid = base_type.type
        union all
        select t.oid, t.typtype, t.typbasetype from under as u join pg_type as t on u.typtype = 'd' and t.oid = u.typbasetype
    )
    select u.oid::regtype from under as u where u.typtype <> 'd'
$$;
comment on function postrider.base_type(regtype) is 'Returns the type itself, or for a domain the type under it. Private.';
revoke all on function postrider.base_type(regtype) from public;
grant execute on function postrider.base_type(regtype) to postrider_dispatcher;
