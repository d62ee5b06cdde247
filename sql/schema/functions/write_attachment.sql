-- What postrider.attach_table does. It runs with the rights of its caller: whoever may not change the table may not attach it. All that may fail
-- for what was asked is done before the table is locked.
create or replace function postrider.write_attachment(
    relation regclass, settings jsonb,
    out result text, out changes text[], out granted text[], out missing text[], out notes text[]
) language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
#variable_conflict use_column
declare
    plan      postrider.attachment;
    old       postrider.attachment;
    script    record;
    digests   text[];
    is_whole  boolean;
    wants_backfill constant boolean := coalesce((write_attachment.settings ->> 'backfill')::boolean, false);
    leftovers text[];
    statement text;
begin
    plan := postrider.plan_attachment(write_attachment.relation, write_attachment.settings);
    perform postrider.lock_attachment(plan.relation);
    -- Somebody else may have attached it meanwhile.
    plan := postrider.plan_attachment(write_attachment.relation, write_attachment.settings);
    select * into old from postrider.attachment as a where a.relation = plan.relation;
    plan.attachment_no := coalesce(old.attachment_no, nextval('postrider.attachment_attachment_no_seq'));
    perform postrider.try_attachment(plan);
    select * into script from postrider.attachment_script(plan);
    -- Whoever attaches it again need not be the same.
    digests := array[md5(array_to_string(array(select f from unnest(script.functions) as f where f not like 'alter function %'), ';')),
                     md5(array_to_string(script.triggers, ';'))];
    plan.digest := array_to_string(digests, ' ');
    select g.granted, g.missing into granted, missing
    from postrider.grant_lacking(plan, plan.write_back <> 'none' or wants_backfill or exists (
        select from postrider.backfill as b where b.attachment_no = old.attachment_no and b.state = 'running')) as g;
    changes := postrider.changed_attachment(old, plan);
    notes := postrider.attachment_notes(plan);
    is_whole := old.attachment_no is not null
        and not exists (select from postrider.attachment_problem as p where p.attachment_no = old.attachment_no);
    if plan is not distinct from old and is_whole and not wants_backfill then
        result := 'unchanged';
        return;
    end if;
    leftovers := array(select u from postrider.unwanted_triggers(plan) as u);
    -- A backfill begins when no transaction is under way any more whose changes were not heard as they are heard now.
    if not is_whole or split_part(old.digest, ' ', 2) <> digests[2] or leftovers <> '{}' or wants_backfill then
        perform postrider.lock_table(plan.relation, case when leftovers = '{}' then 'share row exclusive' else 'access exclusive' end);
    else
        script.triggers := '{}';
    end if;
    foreach statement in array script.functions || script.triggers || leftovers loop
        execute statement;
    end loop;
    perform postrider.drop_capture(plan.attachment_no, plan.relation, plan.write_back <> 'none');
    if old.attachment_no is null then
        insert into postrider.attachment (attachment_no, relation, topic, payload, key, destination, status_column, status_map, write_back,
            on_ops, when_sql, columns, on_error, key_columns, known_columns, digest)
        overriding system value
        values (plan.attachment_no, plan.relation, plan.topic, plan.payload, plan.key, plan.destination, plan.status_column, plan.status_map,
                plan.write_back, plan.on_ops, plan.when_sql, plan.columns, plan.on_error, plan.key_columns, plan.known_columns, plan.digest);
    else
        update postrider.attachment as a
        set topic = plan.topic, payload = plan.payload, key = plan.key, destination = plan.destination,
            status_column = plan.status_column, status_map = plan.status_map, write_back = plan.write_back, on_ops = plan.on_ops,
            when_sql = plan.when_sql, columns = plan.columns, on_error = plan.on_error, key_columns = plan.key_columns,
            known_columns = plan.known_columns, digest = plan.digest, last_error = null, last_error_at = null
        where a.attachment_no = plan.attachment_no;
    end if;
    result := case when old.attachment_no is null then 'created' else 'changed' end;
    if wants_backfill then
        perform postrider.start_backfill(plan.attachment_no, old.attachment_no is null);
    end if;
    perform postrider.grant_capture();
end
$$;
comment on function postrider.write_attachment(regclass, jsonb) is
    'What postrider.attach_table does, its arguments as a JSON object. Private.';
revoke all on function postrider.write_attachment(regclass, jsonb) from public;
grant execute on function postrider.write_attachment(regclass, jsonb) to postrider_dispatcher;
