-- Every start and every new connection calls this. It records that the rows came from another cluster.
create or replace function postrider.note_restore() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    identity text := postrider.server_identity();
begin
    if identity = '' or exists (select from postrider.installation as i where i.server = identity) then
        return false;
    end if;
    update postrider.installation as i
    set server = identity,
        routed_below = '0',
        restored_at = now(),
        restored_until = coalesce((
            -- Index: outbox_by_transaction.
            select o.created_xid from postrider.outbox as o order by o.created_xid desc, o.id desc limit 1), '0')
    where i.server is distinct from identity;
    return found;
end
$$;
comment on function postrider.note_restore() is
    'Resets the watermark if the rows came from another cluster; returns whether it did. Private.';
revoke all on function postrider.note_restore() from public;
grant execute on function postrider.note_restore() to postrider_dispatcher;
