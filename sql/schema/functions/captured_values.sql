-- Texts are checked where they may be too long: a number or a uuid is always short, and so is what is made of a few of them.
create or replace function postrider.captured_values(a postrider.attachment, op text, out place integer, out name text, out value text)
returns setof record
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    has_row   constant boolean := op <> 'TRUNCATE';
    topic     constant text := postrider.captured_template(a, a.topic, has_row);
    goes_to   constant text := postrider.captured_template(a, a.destination, has_row);
    key_name  constant text := coalesce(a.key, case when a.payload = 'debezium' then 'aggregateid'
                                                    when cardinality(a.key_columns) = 1 then a.key_columns[1]::text end);
    key       constant text := case when key_name is null then postrider.captured_key(a, 'told') else postrider.captured_text(a, key_name) end;
    row_key   constant text := quote_literal(a.attachment_no) || ' || ' || postrider.captured_key(a, 'told');
    header    constant text := 'jsonb_build_object(''id'', told.id::text)';
    is_short  boolean;
begin
    return query values
        (1, 'topic', case when replace(a.topic, '{op}', '') !~ '[{]' then topic else format(
            'case when %1$s ~ ''^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$'' and octet_length(%1$s) <= 128 then %1$s '
            'else postrider.refuse_event(%2$s, ''topic'', %1$s) end', topic, a.attachment_no) end),
        (2, 'payload', postrider.captured_payload(a, op));
    if a.destination is not null then
        -- One that begins so is nobody's.
        return query values (4, 'destination', case when a.destination !~ '[{]' or a.destination ~ '^[^{]' and (
                select count(c.text_max) = count(*) and octet_length(a.destination) + coalesce(sum(c.text_max), 0) <= 320
                from unnest(postrider.template_columns(a.destination)) as t (name)
                left join postrider.captured_columns(a) as c on c.name = t.name) then goes_to else format(
            'case when octet_length(%1$s) > 320 then ''/too-long/'' || left(%1$s, 70) else coalesce(nullif(%1$s, ''''), ''/'') end', goes_to) end);
    end if;
    if not has_row then
        return;
    end if;
    select count(c.text_max) = count(*) and sum(c.text_max + 4) < 256 into is_short
    from postrider.captured_columns(a) as c
    where c.name = key_name or c.is_key;
    return query
    select * from (values
        (3, 'key', case when is_short or key is null then key else format(
            'case when octet_length(%1$s) > 256 then ''md5:'' || md5(%1$s) else nullif(%1$s, '''') end', key) end),
        (5, 'headers', case when a.payload = 'debezium' then format(
            'case when told.id is not null then case when postrider.are_headers_valid(%1$s) then %1$s '
            'else to_jsonb(postrider.refuse_event(%2$s, ''headers'', told.id::text)) end end', header, a.attachment_no) end),
        (6, 'row_key', case when is_short or row_key is null then row_key else format(
            'case when octet_length(%1$s) <= 1024 then %1$s%2$s end', row_key,
            -- A row that is gone gets no status.
            case a.write_back when 'none' then '' else format(
                ' when event.op <> ''delete'' then postrider.refuse_event(%s, ''row_key'', %s)', a.attachment_no, row_key) end)
            end)) as v (place, name, value)
    where v.value is not null;
end
$$;
comment on function postrider.captured_values(postrider.attachment, text) is
    'SQL: columns of the outbox, and what an event of an operation has there. Private.';
revoke all on function postrider.captured_values(postrider.attachment, text) from public;
grant execute on function postrider.captured_values(postrider.attachment, text) to postrider_dispatcher;
