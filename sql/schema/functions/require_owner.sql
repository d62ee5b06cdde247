create or replace function postrider.require_owner(relation regclass) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    owner text := (select quote_ident(pg_get_userbyid(c.relowner)) from pg_class as c
                   where c.oid = require_owner.relation and not pg_has_role(c.relowner, 'usage'));
begin
    if owner is not null then
        raise exception '% belongs to role %', require_owner.relation, owner
            using errcode = 'insufficient_privilege', detail = 'Allowed is its owner, a member of that role, or a superuser';
    end if;
end
$$;
comment on function postrider.require_owner(regclass) is
    'Raises 42501 unless the current role is a member of a table''s owner. Private.';
revoke all on function postrider.require_owner(regclass) from public;
grant execute on function postrider.require_owner(regclass) to postrider_dispatcher;
