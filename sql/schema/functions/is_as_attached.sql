-- It is called immutable, though it reads tables, so that it is evaluated when a query is planned, and costs a trigger nothing
-- afterwards. That is right only in a query that reads a transition table of the attached table: PostgreSQL plans such a query again
-- when that table has changed. The right to a column is asked for because that looks behind the snapshot of a transaction at repeatable
-- read: it is null if the column has gone since.
create or replace function postrider.is_as_attached(attachment_no integer) returns boolean
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
    select not exists (
        select from jsonb_to_recordset(a.known_columns) as k (name text, type text)
        left join pg_attribute as t on t.attrelid = a.relation and t.attname = k.name and t.attnum > 0 and not t.attisdropped
            and has_column_privilege(a.relation::oid, t.attnum, 'select') is not null
        where t.atttypid is distinct from to_regtype(k.type)::oid or t.atttypid is null)
    from postrider.attachment as a
    where a.attachment_no = is_as_attached.attachment_no
$$;
comment on function postrider.is_as_attached(integer) is
    'Whether a table still has every column that it had when it was attached, with its type. The generated triggers ask. Private.';
revoke all on function postrider.is_as_attached(integer) from public;
grant execute on function postrider.is_as_attached(integer) to postrider_dispatcher;
