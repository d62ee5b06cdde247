create or replace function postrider.write_obstacle(attachment postrider.attachment) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        (select r.obstacle from postrider.row_access((attachment).attachment_no) as r),
        (select 'grant ' || array_to_string(postrider.lacking_rights(attachment, true, current_user), '; grant ')),
        postrider.hiding_policy((attachment).relation))
$$;
comment on function postrider.write_obstacle(postrider.attachment) is
    'What has to be done before the current role can have the status written into an attached table; null: nothing. Private.';
revoke all on function postrider.write_obstacle(postrider.attachment) from public;
grant execute on function postrider.write_obstacle(postrider.attachment) to postrider_dispatcher;
