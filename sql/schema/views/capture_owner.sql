create or replace view postrider.capture_owner as
select r.oid as role_id
from (
    select c.relowner as owner
    from postrider.attachment as a join pg_catalog.pg_class as c on c.oid = a.relation
    union
    -- A table may have another owner since, and its function is still the old one's.
    select p.proowner
    from postrider.attachment as a
    join pg_catalog.pg_trigger as g on g.tgrelid = a.relation and not g.tgisinternal
    join pg_catalog.pg_proc as p on p.oid = g.tgfoid and p.proname = 'postrider_capture_' || a.attachment_no
) as o
join pg_catalog.pg_roles as r on r.oid = o.owner and not r.rolsuper
where o.owner <> (select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'postrider');
comment on view postrider.capture_owner is
    'Roles that own attached tables or their functions, other than superusers and the owner of the schema. Private.';
comment on column postrider.capture_owner.role_id is 'The role.';
revoke all on postrider.capture_owner from public;
grant select on postrider.capture_owner to postrider_dispatcher;
