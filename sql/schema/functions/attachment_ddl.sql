create or replace function postrider.attachment_ddl(relation regclass, settings jsonb) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    plan   postrider.attachment;
    script record;
begin
    plan := postrider.plan_attachment(attachment_ddl.relation, attachment_ddl.settings);
    perform postrider.try_attachment(plan);
    plan.attachment_no := coalesce(plan.attachment_no,
        (select s.last_value + case when s.is_called then 1 else 0 end from postrider.attachment_attachment_no_seq as s));
    select * into script from postrider.attachment_script(plan);
    return array_to_string(
        script.functions || script.triggers || array(select u from postrider.unwanted_triggers(plan) as u)
            || array(select format('grant %s', l.lacking)
                     from unnest(postrider.lacking_rights(plan, plan.write_back <> 'none' or settings @> '{"backfill": true}')) with ordinality as l (lacking, place) order by l.place),
        E';\n') || E';\n';
end
$$;
comment on function postrider.attachment_ddl(regclass, jsonb) is
    'Returns the statements that postrider.attach_table would execute, its arguments as a JSON object; and changes nothing. Private.';
revoke all on function postrider.attachment_ddl(regclass, jsonb) from public;
grant execute on function postrider.attachment_ddl(regclass, jsonb) to postrider_dispatcher;
