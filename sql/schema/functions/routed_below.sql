-- A function and not a column, because the planner evaluates it and sees that the value is near the end of the index.
create or replace function postrider.routed_below() returns xid8
language sql stable security definer set search_path = pg_catalog, pg_temp
return (
    select case when i.server is distinct from postrider.server_identity() and postrider.server_identity() <> '' then '0'::xid8
                when i.routed_below > pg_snapshot_xmin(pg_current_snapshot()) then '0'::xid8
                else i.routed_below end
    from postrider.installation as i);
comment on function postrider.routed_below() is
    'Returns the watermark: every event inserted by a transaction with a lower id is routed. Private.';
revoke all on function postrider.routed_below() from public;
grant execute on function postrider.routed_below() to postrider_reader, postrider_dispatcher;
