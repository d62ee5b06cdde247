-- What a dispatcher needs on an attached table: to read the primary key and the status, to lock a row, and to write that one column. To
-- lock a row for its deletion, PostgreSQL asks for the right to update some column: it is the first of the key.
create or replace function postrider.write_back_grants(attachment_no integer, role name default current_user) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    attached postrider.attachment;
    readable name[];
    writable name;
    grantee  name := case when pg_has_role(role, 'postrider_dispatcher', 'usage') then 'postrider_dispatcher' else role end;
    schemas  text;
    lacks    boolean;
begin
    select a.* into attached from postrider.attachment as a
    where a.attachment_no = write_back_grants.attachment_no and a.write_back <> 'none';
    readable := attached.key_columns;
    writable := readable[1];
    if attached.write_back in ('all', 'final') then
        readable := readable || attached.status_column;
        writable := attached.status_column;
    end if;
    -- A type may stand in another schema than the table.
    select string_agg(distinct format('grant usage on schema %I to %I', n.nspname, grantee), '; ') filter (where n.oid is not null),
           coalesce(bool_or(u.lacks), false)
    into schemas, lacks
    from (
        select c.relnamespace as schema, attached.write_back = 'delete' and not has_table_privilege(role, c.oid, 'delete') as lacks
        from pg_class as c where c.oid = attached.relation
        union all
        select t.typnamespace,
               not has_column_privilege(role, a.attrelid, a.attnum, 'select')
               or a.attname = writable and not has_column_privilege(role, a.attrelid, a.attnum, 'update')
        from pg_attribute as a
        join pg_type as t on t.oid = a.atttypid
        where a.attrelid = attached.relation and a.attname = any (readable) and not a.attisdropped
    ) as u
    left join pg_namespace as n on n.oid = u.schema and not has_schema_privilege(role, n.oid, 'usage');
    return concat_ws('; ', schemas, case when lacks then format('grant select (%s), update (%I)%s on table %s to %I',
        (select string_agg(quote_ident(r.name), ', ') from unnest(readable) as r (name)), writable,
        case attached.write_back when 'delete' then ', delete' else '' end, attached.relation, grantee) end);
end
$$;
comment on function postrider.write_back_grants(integer, name) is
    'The statements that grant a role what it lacks to write the status into the rows of an attached table; empty: nothing. Private.';
revoke all on function postrider.write_back_grants(integer, name) from public;
grant execute on function postrider.write_back_grants(integer, name) to postrider_dispatcher;
