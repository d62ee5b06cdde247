-- How the rows of an attached table are found and written: parts of statements, with names and types qualified and quoted. It reads the
-- catalogs each time, because the table is its owner's, who may change it at any time.
create or replace function postrider.row_access(
    attachment_no integer,
    out relation text, out matches text, out status_type text, out users_path text, out obstacle text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    attached   postrider.attachment;
    found_keys integer;
    -- What is granted to the role of all dispatchers serves this one, too.
    grantee    name := case when pg_has_role('postrider_dispatcher', 'usage') then 'postrider_dispatcher' else current_user end;
begin
    select a.* into attached from postrider.attachment as a where a.attachment_no = row_access.attachment_no;
    relation := attached.relation::text;
    -- The key's own operator: a key of type citext is not compared by the one of text. -1 keeps a type without its length, so that a
    -- word that is too long is refused, and not cut off.
    select count(*), string_agg(format('t.%I operator(%I.%s) (w.key ->> %s)::%s', a.attname, n.nspname, o.oprname, k.place - 1,
                                       format_type(a.atttypid, -1)), ' and ' order by k.place)
    into found_keys, matches
    from unnest(attached.key_columns) with ordinality as k (name, place)
    join pg_attribute as a on a.attrelid = attached.relation and a.attname = k.name and not a.attisdropped
    join pg_index as i on i.indrelid = attached.relation and i.indisprimary
    join lateral unnest(i.indkey::int2[], i.indclass::oid[]) as x (attnum, opclass) on x.attnum = a.attnum
    join pg_opclass as c on c.oid = x.opclass
    join pg_amop as m on m.amopfamily = c.opcfamily and m.amopstrategy = 3
        and m.amoplefttype = c.opcintype and m.amoprighttype = c.opcintype
    join pg_operator as o on o.oid = m.amopopr
    join pg_namespace as n on n.oid = o.oprnamespace;
    select format_type(a.atttypid, -1) into status_type
    from pg_attribute as a
    where a.attrelid = attached.relation and a.attname = attached.status_column and not a.attisdropped;
    -- Triggers of the table's owner run under the path that his own sessions have, and behind it in the table's schema.
    select concat_ws(', ', 'pg_catalog', coalesce(
               (select nullif(substr(s.setting, length('search_path=') + 1), '""')
                from pg_db_role_setting as d, unnest(d.setconfig) as s (setting)
                where d.setrole = 0 and d.setdatabase = (select b.oid from pg_database as b where b.datname = current_database())
                  and s.setting like 'search_path=%'),
               '"$user", public'), quote_ident(n.nspname))
    into users_path
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = attached.relation;
    obstacle := case
        when users_path is null then 'the table is gone'
        when found_keys < cardinality(attached.key_columns) then 'the primary key is not what it was when the table was attached'
        when attached.status_column is not null and status_type is null then format('column %I is gone', attached.status_column)
        else coalesce((select string_agg(format('grant %s to %I', l.lacking, grantee), '; ' order by l.place)
                       from unnest(postrider.lacking_rights(attached, current_user)) with ordinality as l (lacking, place)),
                      postrider.hiding_policy(attached.relation, grantee))
    end;
end
$$;
comment on function postrider.row_access(integer) is
    'How rows of an attached table are found and written, and what has to be done before that can be (obstacle). Private.';
revoke all on function postrider.row_access(integer) from public;
grant execute on function postrider.row_access(integer) to postrider_dispatcher;
