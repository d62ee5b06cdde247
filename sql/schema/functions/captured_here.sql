create or replace function postrider.captured_here(a postrider.attachment) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case c.relkind when 'p' then
        E'\n            and (a.attachment_no is null or a.relation = tg_relid'
        || E'\n                 or exists (select from pg_partition_ancestors(tg_relid) as p (id) where p.id = a.relation))'
        else '' end
    from pg_class as c
    where c.oid = a.relation
$$;
comment on function postrider.captured_here(postrider.attachment) is
    'SQL: whether a trigger is still one of the attached table''s. A partition that was detached keeps its triggers. Private.';
revoke all on function postrider.captured_here(postrider.attachment) from public;
grant execute on function postrider.captured_here(postrider.attachment) to postrider_dispatcher;
