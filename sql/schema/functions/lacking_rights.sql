create or replace function postrider.lacking_rights(attachment postrider.attachment, role name default 'postrider_dispatcher') returns text[]
language sql stable set search_path = pg_catalog, pg_temp
return (
    select array_agg(l.lacking order by l.place)
    from (
        select c.oid, n.oid as nspoid, n.nspname, format('%I.%I', n.nspname, c.relname) as relation
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where c.oid = attachment.relation and attachment.write_back <> 'none') as it
    cross join lateral (
        -- A type may stand in another schema than the table.
        select 1 as place, format('usage on schema %I', n.nspname) as lacking
        from (select it.nspoid as oid
              union
              select y.typnamespace
              from pg_attribute as t join pg_type as y on y.oid = t.atttypid
              where t.attrelid = it.oid and (t.attname = attachment.status_column or t.attname = any (attachment.key_columns))) as u
        join pg_namespace as n on n.oid = u.oid
        where not has_schema_privilege(role, n.oid, 'usage')
        union all
        select 2, format('%s (%s) on table %s', w.privilege, string_agg(quote_ident(t.attname), ', ' order by t.attnum), it.relation)
        from (values ('select'), ('update')) as w (privilege)
        join pg_attribute as t
            on t.attrelid = it.oid and not t.attisdropped
               and (t.attname = attachment.status_column or w.privilege = 'select' and t.attname = any (attachment.key_columns)
                    -- To lock a row for its deletion, PostgreSQL asks for the right to update some column.
                    or attachment.write_back = 'delete' and t.attname = attachment.key_columns[1])
        where not has_column_privilege(role, it.oid, t.attnum, w.privilege)
        group by w.privilege
        union all
        select 3, format('delete on table %s', it.relation)
        where attachment.write_back = 'delete' and not has_table_privilege(role, it.oid, 'delete')) as l);
comment on function postrider.lacking_rights(postrider.attachment, name) is
    'Returns what a role (postrider_dispatcher, unless it is named) lacks to write the status into an attached table, as grant takes it: '
    'update (status) on table t; null: nothing. Private.';
revoke all on function postrider.lacking_rights(postrider.attachment, name) from public;
grant execute on function postrider.lacking_rights(postrider.attachment, name) to postrider_reader, postrider_dispatcher;
