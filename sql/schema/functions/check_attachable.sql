create or replace function postrider.check_attachable(relation regclass) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    it    record;
    other regclass;
begin
    select c.relkind, c.relpersistence, c.relispartition, n.nspname,
           exists (select from pg_inherits as i where i.inhrelid = c.oid and not c.relispartition) as inherits,
           exists (select from pg_inherits as i where i.inhparent = c.oid and c.relkind <> 'p') as is_inherited,
           exists (select from pg_index as i where i.indrelid = c.oid and i.indisprimary) as has_key
    into it
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = check_attachable.relation;
    if not found then
        raise exception 'table %: there is no such table', coalesce(check_attachable.relation::text, 'null')
            using errcode = 'undefined_table', detail = 'Allowed is the name of a table, as public.orders';
    end if;
    if it.nspname = 'postrider' then
        raise exception '% is a table of Postrider', check_attachable.relation
            using errcode = 'wrong_object_type', detail = 'Allowed is a table of your own';
    end if;
    if it.nspname in ('pg_catalog', 'information_schema', 'pg_toast') then
        raise exception '% is a table of PostgreSQL''s own', check_attachable.relation
            using errcode = 'wrong_object_type', detail = 'Allowed is a table of your own';
    end if;
    if it.relkind not in ('r', 'p') then
        raise exception '% is %, and no table', check_attachable.relation,
                case it.relkind when 'v' then 'a view' when 'm' then 'a materialized view' when 'f' then 'a foreign table'
                                when 'S' then 'a sequence' when 'i' then 'an index' when 'I' then 'an index' else 'a type' end
            using errcode = 'wrong_object_type',
                  detail = case when it.relkind in ('v', 'm') then 'Allowed is a table: attach the one that it reads'
                                when it.relkind = 'f' then 'Allowed is a table of this database: attach it where it stands'
                                else 'Allowed is a table' end;
    end if;
    if it.relpersistence = 't' then
        raise exception '% is a temporary table', check_attachable.relation
            using errcode = 'wrong_object_type', detail = 'Allowed is a table that other sessions see, because a dispatcher writes to it';
    end if;
    if it.relispartition then
        select coalesce((select p.relid from pg_partition_ancestors(check_attachable.relation) as p (relid)
                         where p.relid in (select a.relation from postrider.attachment as a) limit 1),
                        pg_partition_root(check_attachable.relation))
        into other;
        raise exception '% is a partition of %', check_attachable.relation, other
            using errcode = 'wrong_object_type',
                  detail = case when other in (select a.relation from postrider.attachment as a)
                      then format('%s is attached, and so is each of its partitions', other)
                      else format('Allowed is %s: its partitions are attached with it', other) end;
    end if;
    if it.inherits or it.is_inherited then
        raise exception '% %', check_attachable.relation,
                case when it.inherits then 'inherits from another table' else 'has tables that inherit from it' end
            using errcode = 'wrong_object_type',
                  detail = 'Allowed is a table without inheritance: its primary key does not tell one row of all of them';
    end if;
    select coalesce(min(p.relid::oid) filter (where p.relid in (select a.relation from postrider.attachment as a)),
                    min(p.relid::oid) filter (where (select c.relkind from pg_class as c where c.oid = p.relid) = 'f'))
    into other
    from pg_partition_tree(check_attachable.relation) as p
    where p.level > 0;
    if other is not null then
        raise exception '% has the partition %, which %', check_attachable.relation, other,
                case when other in (select a.relation from postrider.attachment as a) then 'is attached itself' else 'is a foreign table' end
            using errcode = 'wrong_object_type',
                  detail = 'Allowed are partitions that are tables of this database and not attached themselves';
    end if;
    if not it.has_key then
        raise exception '% has no primary key', check_attachable.relation
            using errcode = 'invalid_table_definition',
                  detail = 'An event names its row by the primary key',
                  hint = format('alter table %s add primary key (...)', check_attachable.relation);
    end if;
    perform postrider.require_owner(check_attachable.relation);
end
$$;
comment on function postrider.check_attachable(regclass) is 'Refuses what cannot be attached, in one line that says why. Private.';
revoke all on function postrider.check_attachable(regclass) from public;
grant execute on function postrider.check_attachable(regclass) to postrider_dispatcher;
