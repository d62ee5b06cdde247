create or replace function postrider.existing_attachment(relation regclass) returns postrider.attachment
-- Volatile, so that it sees a table that the calling statement itself has attached.
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    found_attachment postrider.attachment;
begin
    select * into found_attachment from postrider.attachment as a where a.relation = existing_attachment.relation;
    if found_attachment.attachment_no is null then
        raise exception 'table % is not attached', coalesce(existing_attachment.relation::text, 'null') using errcode = 'no_data_found',
            hint = 'See postrider.attached_table.';
    end if;
    return found_attachment;
end
$$;
comment on function postrider.existing_attachment(regclass) is 'Returns the attachment of that table; raises P0002 if it is not attached. Private.';
revoke all on function postrider.existing_attachment(regclass) from public;
grant execute on function postrider.existing_attachment(regclass) to postrider_dispatcher;
