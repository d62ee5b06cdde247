-- It is evaluated when a query is planned, like postrider.is_as_attached, and in the same kind of query: a foreign key that is added
-- changes the table. Where the primary key is deferrable, two rows may have one key for a while, which is as if one had changed twice.
create or replace function postrider.foreign_actions(attachment_no integer) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when f.keys_updating > 0 and f.keys_deleting > 0 and f.keys > 1 then 'delete'
                when f.keys_updating > 0 or exists (
                    select from pg_constraint as c where c.conrelid = a.relation and c.contype = 'p' and c.condeferrable) then 'update'
                else 'none' end
    from postrider.attachment as a
    cross join lateral (
        select count(*) filter (where c.confdeltype = 'c') as keys_deleting,
               count(*) filter (where c.confdeltype in ('n', 'd') or c.confupdtype in ('c', 'n', 'd')) as keys_updating,
               count(*) as keys
        from pg_constraint as c
        where c.contype = 'f'
          and c.conrelid in (select a.relation union all select p.relid from pg_partition_tree(a.relation) as p)) as f
    where a.attachment_no = foreign_actions.attachment_no
$$;
comment on function postrider.foreign_actions(integer) is
    'What foreign keys may do to a row of an attached table in one statement of another table: none; update: several times; delete: that, '
    'and delete the row. Private.';
revoke all on function postrider.foreign_actions(integer) from public;
grant execute on function postrider.foreign_actions(integer) to postrider_dispatcher;
