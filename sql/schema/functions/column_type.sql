-- Pinned, because the name of a type has its schema or not, as the search path is.
create or replace function postrider.column_type(type_id oid) returns text
language sql stable set search_path = pg_catalog, pg_temp
return format_type(type_id, null);
comment on function postrider.column_type(oid) is 'The name of a type, with its schema unless that is pg_catalog. Private.';
revoke all on function postrider.column_type(oid) from public;
grant execute on function postrider.column_type(oid) to postrider_reader, postrider_dispatcher;
