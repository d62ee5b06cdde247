-- The generated functions of an attached table run with the rights of its owner, and dispatchers call them. An owner may have taken rights on
-- the table from itself.
create or replace function postrider.lacking_rights(
    attachment postrider.attachment, is_called boolean, role name default 'postrider_dispatcher') returns text[]
language sql stable set search_path = pg_catalog, pg_temp
return (
    select array_agg(l.lacking order by l.place, l.lacking)
    from (
        select c.oid, n.oid as nspoid, c.relowner as owner_id, pg_get_userbyid(c.relowner) as owner,
               format('%I.%I', n.nspname, c.relname) as relation,
               -- A grant to postrider_dispatcher serves every member of that role.
               case when pg_has_role(lacking_rights.role, 'postrider_dispatcher', 'usage') then 'postrider_dispatcher'
                    else lacking_rights.role end as caller
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where c.oid = attachment.relation and is_called) as it
    cross join lateral (
        select 1 as place, format('usage on schema %I to %I', n.nspname, it.caller) as lacking
        from pg_namespace as n
        where n.oid = it.nspoid and not has_schema_privilege(lacking_rights.role, n.oid, 'usage')
        union all
        -- A type may stand in another schema than the table.
        select 2, format('usage on schema %I to %I', n.nspname, it.owner)
        from (select it.nspoid as oid
              union
              select y.typnamespace
              from pg_attribute as t join pg_type as y on y.oid = t.atttypid
              where t.attrelid = it.oid and (t.attname = attachment.status_column or t.attname = any (attachment.key_columns))) as u
        join pg_namespace as n on n.oid = u.oid
        where attachment.write_back <> 'none' and not has_schema_privilege(it.owner_id, n.oid, 'usage')
        union all
        select 3, format('%s (%s) on table %s to %I', w.privilege, string_agg(quote_ident(t.attname), ', ' order by t.attnum), it.relation,
                         it.owner)
        from (values ('select'), ('update')) as w (privilege)
        join pg_attribute as t
            on t.attrelid = it.oid and not t.attisdropped
               and (t.attname = attachment.status_column or w.privilege = 'select' and t.attname = any (attachment.key_columns)
                    -- To lock a row for its deletion, PostgreSQL asks for the right to update some column.
                    or attachment.write_back = 'delete' and t.attname = attachment.key_columns[1])
        where attachment.write_back <> 'none' and not has_column_privilege(it.owner_id, it.oid, t.attnum, w.privilege)
        group by w.privilege
        union all
        select 4, format('delete on table %s to %I', it.relation, it.owner)
        where attachment.write_back = 'delete' and not has_table_privilege(it.owner_id, it.oid, 'delete')
        union all
        select 5, format('execute on function %s to %I', p.oid::regprocedure, it.caller)
        from pg_proc as p
        where p.proname in ('postrider_backfill_' || attachment.attachment_no, 'postrider_write_' || attachment.attachment_no)
          and p.proowner = it.owner_id and p.prosecdef and not has_function_privilege(lacking_rights.role, p.oid, 'execute')) as l);
comment on function postrider.lacking_rights(postrider.attachment, boolean, name) is
    'Returns what a dispatcher''s role lacks to call the generated functions of an attached table, if they are called, and what the '
    'table''s owner lacks on the table to write the status, as grant takes it: usage on schema app to r; null: nothing. Private.';
revoke all on function postrider.lacking_rights(postrider.attachment, boolean, name) from public;
grant execute on function postrider.lacking_rights(postrider.attachment, boolean, name) to postrider_reader, postrider_dispatcher;
