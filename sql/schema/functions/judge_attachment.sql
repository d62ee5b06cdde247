-- Runs with the rights of whoever changes the row, so current_user is that role, whatever function it called. An attachment decides
-- whose triggers insert events, and which column dispatchers write. A table that is gone has no owner who could object.
create or replace function postrider.judge_attachment() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    subject regclass;
begin
    foreach subject in array case tg_op when 'INSERT' then array[new.relation] when 'DELETE' then array[old.relation]
                             else array[old.relation, new.relation] end loop
        if exists (select from pg_class as c where c.oid = subject and not pg_has_role(c.relowner, 'usage'))
           and not exists (select from pg_class as c where c.oid = tg_relid and pg_has_role(c.relowner, 'usage')) then
            raise exception 'table %: only its owner attaches and detaches it', subject
                using errcode = 'insufficient_privilege',
                      detail = format('Allowed is a member of role %s', (select pg_get_userbyid(c.relowner) from pg_class as c where c.oid = subject));
        end if;
    end loop;
    return case tg_op when 'DELETE' then old else new end;
end
$$;
comment on function postrider.judge_attachment() is
    'Refuses a change of an attachment by a role that is no member of the table''s owner. Private.';
revoke all on function postrider.judge_attachment() from public;
grant execute on function postrider.judge_attachment() to postrider_dispatcher;
