-- The names of the table are looked up once in a statement, because the table may be renamed, and a statement may name a partition.
create or replace function postrider.captured_payload(a postrider.attachment, op text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    asked   constant text := format(
        'from pg_class as c join postrider.attachment as a on a.relation = c.oid where a.attachment_no = %s)', a.attachment_no);
    names   constant text := '(select c.relname ' || asked;
    schemas constant text := '(select (select n.nspname from pg_namespace as n where n.oid = c.relnamespace) ' || asked;
    has_row constant boolean := op <> 'TRUNCATE';
    changed text := 'null';
    body    record;
begin
    if a.payload = 'row' and has_row then
        return postrider.captured_record(a, 'told');
    elsif a.payload = 'change' then
        if op = 'UPDATE' and postrider.captured_key(a, 'r') is not null then
            changed := 'case when event.is_pair then difference.SIDE end';
        end if;
        return format('json_build_object(''op'', event.op, ''schema'', %s, ''table'', %s, ''record'', %s, '
                      '''changed'', %s, ''previous'', %s, ''at'', now())', schemas, names,
                      case when has_row then postrider.captured_record(a, 'told') else 'null' end,
                      replace(changed, 'SIDE', 'changed'), replace(changed, 'SIDE', 'previous'));
    elsif a.payload = 'supabase' then
        return format('json_build_object(''type'', case event.op when ''read'' then ''INSERT'' else upper(event.op) end, '
                      '''table'', %s, ''schema'', %s, ''record'', %s, ''old_record'', %s)', names, schemas,
                      case when has_row then format('case when event.op <> ''delete'' then %s end', postrider.captured_record(a, 'told'))
                           else 'null' end,
                      case when has_row then format('case when event.is_pair or event.op = ''delete'' then %s end',
                                                    postrider.captured_record(a, 'old')) else 'null' end);
    elsif not has_row then
        return 'json_build_object(''op'', event.op)';
    end if;
    select c.ident, c.type, t.typcategory into body
    from postrider.captured_columns(a) as c
    left join pg_type as t on t.oid = c.type
    where c.name = case when a.payload = 'debezium' then 'payload' when a.payload like 'column:%' then substr(a.payload, 8) else a.payload end;
    return case
        when body.ident is null then '''null''::json'
        when body.type = 'json'::regtype then format('coalesce(told.%s::json, ''null'')', body.ident)
        when body.typcategory = 'S' then format('coalesce(told.%s::text::json, ''null'')', body.ident)
        else format('coalesce(to_json(told.%s), ''null'')', body.ident) end;
end
$$;
comment on function postrider.captured_payload(postrider.attachment, text) is
    'SQL: the payload of an event of an operation. json is left as it stands, and text is read as JSON. Private.';
revoke all on function postrider.captured_payload(postrider.attachment, text) from public;
grant execute on function postrider.captured_payload(postrider.attachment, text) to postrider_dispatcher;
