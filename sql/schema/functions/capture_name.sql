create or replace function postrider.capture_name(a postrider.attachment) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('%I.postrider_capture_%s', n.nspname, a.attachment_no)
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = a.relation
$$;
comment on function postrider.capture_name(postrider.attachment) is
    'Returns the name of the function that the triggers of an attached table call, with its schema. Private.';
revoke all on function postrider.capture_name(postrider.attachment) from public;
grant execute on function postrider.capture_name(postrider.attachment) to postrider_reader, postrider_dispatcher;
