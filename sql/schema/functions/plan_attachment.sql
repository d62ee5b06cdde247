-- The one place that checks the settings of an attached table, all but those that only the table's owner may try out
-- (postrider.try_attachment). A setting that is not named, or null, has its default: attaching again says everything anew.
create or replace function postrider.plan_attachment(relation regclass, settings jsonb) returns postrider.attachment
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    shapes  constant text[] := '{row,change,supabase,debezium}';
    known   constant text[] := '{topic,payload,key,destination,status,status_map,write_back,on_ops,when_sql,columns,backfill,on_error}';
    given   jsonb := jsonb_strip_nulls(settings);
    plan    postrider.attachment;
    name    text;
    wrong   text;
begin
    perform postrider.check_attachable(plan_attachment.relation);
    select min(s.name) into wrong from jsonb_object_keys(given) as s (name) where s.name <> all (known);
    if wrong is not null then
        raise exception 'table %: unknown setting "%"', plan_attachment.relation, left(wrong, 64)
            using errcode = 'invalid_parameter_value', detail = 'Allowed is what postrider.attach_table has an argument for';
    end if;
    select * into plan from postrider.attachment as a where a.relation = plan_attachment.relation;
    plan.relation := plan_attachment.relation;
    plan.state := coalesce(plan.state, 'active');
    plan.key_columns := array(
        select t.attname
        from pg_index as i
        cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
        join pg_attribute as t on t.attrelid = i.indrelid and t.attnum = k.attnum
        where i.indrelid = plan.relation and i.indisprimary
        order by k.place);
    plan.known_columns := (
        select jsonb_agg(jsonb_build_object('name', t.attname, 'type', format_type(t.atttypid, t.atttypmod)) order by t.attnum)
        -- A trigger sees no column that is computed when it is read.
        from pg_attribute as t where t.attrelid = plan.relation and t.attnum > 0 and not t.attisdropped and t.attgenerated <> 'v');

    plan.payload := coalesce(given ->> 'payload', 'row');
    plan.topic := coalesce(given ->> 'topic', case when plan.payload = 'debezium' then '{aggregatetype}.{type}' end);
    plan.key := coalesce(given ->> 'key', case when plan.payload = 'debezium' then 'aggregateid' end);
    plan.destination := given ->> 'destination';
    plan.status_column := given ->> 'status';
    plan.status_map := coalesce(given -> 'status_map', '{}');
    plan.write_back := coalesce(given ->> 'write_back', case when plan.status_column is null then 'none' else 'all' end);
    -- A null would be no word of the list, and so would be refused like any other.
    plan.on_ops := array(
        select w.word from unnest('{insert,update,delete,truncate}'::text[]) with ordinality as w (word, place)
        where coalesce(given -> 'on_ops', '["insert", "update", "delete"]') ? w.word order by w.place);
    plan.when_sql := nullif(btrim(given ->> 'when_sql', E' \t\r\n'), '');
    plan.on_error := coalesce(given ->> 'on_error', 'fail');
    wrong := case
        when plan.topic is null then
            'topic: a topic, as order.changed or order.{op}; {column} stands for a value'
        when regexp_replace(plan.topic, '[{][^{}]+[}]', 'x', 'g') !~ '^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$'
            or octet_length(plan.topic) > 128 + 64 * cardinality(postrider.template_columns(plan.topic)) then
            'topic: dotted words of [A-Za-z0-9_-] or {column} or {op}, at most 128 bytes'
        when regexp_replace(plan.destination, '[{][^{}]+[}]', 'x', 'g') !~ '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}(/[^{}[:cntrl:]]{1,255})?$' then
            'destination: the id of an endpoint, or TEMPLATE/VALUE, as devices/{ip_address}; {column} stands for a value'
        when plan.write_back not in ('none', 'final', 'all', 'delete') then
            'write_back: none, final (complete and failed), all (in_progress, too) or delete (the row goes when its event is complete)'
        when plan.write_back in ('final', 'all') and plan.status_column is null then
            'write_back: none or delete, unless status names the column that is written'
        when plan.write_back = 'delete' and plan.status_column is not null then
            'status: none where rows are deleted (write_back => ''delete'')'
        when jsonb_typeof(plan.status_map) <> 'object' or exists (
                select from jsonb_each(case jsonb_typeof(plan.status_map) when 'object' then plan.status_map else '{}' end) as m (status, word)
                where m.status not in ('pending', 'in_progress', 'complete', 'failed') or jsonb_typeof(m.word) <> 'string') then
            'status_map: an object with words for pending, in_progress, complete and failed, as {"complete": "done"}'
        when plan.status_map <> '{}' and plan.status_column is null then
            'status_map: none, unless status names the column that is written'
        when jsonb_typeof(coalesce(given -> 'on_ops', '[]')) <> 'array' or plan.on_ops = '{}'
            or jsonb_array_length(coalesce(given -> 'on_ops', '[]')) > 0 and exists (
                select from jsonb_array_elements_text(given -> 'on_ops') as o (word)
                where o.word is null or o.word not in ('insert', 'update', 'delete', 'truncate')) then
            'on_ops: one or more of insert, update, delete, truncate'
        when octet_length(plan.when_sql) > 10000 then
            'when_sql: at most 10000 bytes'
        when plan.on_error not in ('fail', 'skip') then
            'on_error: fail (an event that cannot be written fails the statement) or skip (it is counted)'
        when jsonb_typeof(coalesce(given -> 'columns', '[]')) <> 'array' or given -> 'columns' = '[]'
            or given -> 'columns' @> '[null]' then
            'columns: names of columns'
    end;
    if wrong is not null then
        raise exception 'table %: invalid %', plan.relation, split_part(wrong, ':', 1)
            using errcode = 'invalid_parameter_value', detail = 'Allowed is ' || wrong;
    end if;

    if plan.payload <> all (shapes) then
        name := case when plan.payload like 'column:%' then substr(plan.payload, 8) else plan.payload end;
        perform postrider.check_column(plan.relation, 'payload', name);
        plan.payload := case when name = any (shapes) then 'column:' || name else name end;
    elsif plan.payload = 'debezium' then
        foreach name in array '{id,aggregatetype,aggregateid,type,payload}'::text[] loop
            perform postrider.check_column(plan.relation, 'payload', name);
        end loop;
    end if;
    for name, wrong in
        select n.name, n.setting
        from (select unnest(postrider.template_columns(plan.topic)), 'topic'
              union all select unnest(postrider.template_columns(plan.destination)), 'destination'
              union all select plan.key, 'key'
              union all select plan.status_column, 'status'
              union all select jsonb_array_elements_text(given -> 'columns'), 'columns') as n (name, setting)
        where n.name is not null and not (n.setting in ('topic', 'destination') and n.name = 'op')
    loop
        perform postrider.check_column(plan.relation, wrong, name);
    end loop;
    plan.columns := case when given ? 'columns' then array(
        select t.attname from pg_attribute as t
        where t.attrelid = plan.relation and t.attnum > 0 and not t.attisdropped and given -> 'columns' ? t.attname
        order by t.attnum) end;
    wrong := case
        when plan.status_column = any (plan.key_columns) then 'it is part of the primary key'
        when exists (select from pg_attribute as t
                     where t.attrelid = plan.relation and t.attname = plan.status_column and (t.attgenerated <> '' or t.attidentity <> '')) then
            'PostgreSQL computes it' end;
    if wrong is not null then
        raise exception 'table %: invalid status: column "%" is not to be written, because %', plan.relation, plan.status_column, wrong
            using errcode = 'invalid_parameter_value', detail = 'Allowed is a column that holds the status and nothing else';
    end if;
    return plan;
end
$$;
comment on function postrider.plan_attachment(regclass, jsonb) is
    'Checks the settings of an attached table, the arguments of postrider.attach_table as a JSON object, and returns the row that they '
    'make; without a number if the table is not attached yet. Private.';
revoke all on function postrider.plan_attachment(regclass, jsonb) from public;
grant execute on function postrider.plan_attachment(regclass, jsonb) to postrider_dispatcher;
