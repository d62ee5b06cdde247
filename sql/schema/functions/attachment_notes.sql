create or replace function postrider.attachment_notes(attachment postrider.attachment) returns text[]
language sql stable set search_path = pg_catalog, pg_temp
return array(
    select n.note
    from (values
        (1, case when (select c.relpersistence from pg_class as c where c.oid = attachment.relation) = 'u' then
            'it is unlogged: after a crash of the server its rows are gone, and no event tells of that' end),
        (2, case when attachment.destination !~ '^[^/]*[{]' then (
            select case when e.id is null then format('there is no endpoint "%s" yet: until there is, its events fail', d.id)
                        when postrider.is_template(e.url) <> (attachment.destination ~ '/') then
                            format('endpoint "%s" is %s template, so its events fail', d.id, case when attachment.destination ~ '/' then 'no' else 'a' end)
                   end
            from (select split_part(attachment.destination, '/', 1) as id) as d
            left join postrider.endpoint as e on e.id = d.id and e.state <> 'deleted') end),
        (3, case when attachment.state = 'paused' then 'it is paused: changes are not heard before postrider.resume_table' end))
        as n (place, note)
    where n.note is not null
    order by n.place);
comment on function postrider.attachment_notes(postrider.attachment) is 'Returns what whoever attaches a table should know. Private.';
revoke all on function postrider.attachment_notes(postrider.attachment) from public;
grant execute on function postrider.attachment_notes(postrider.attachment) to postrider_dispatcher;
