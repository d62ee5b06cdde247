-- A row of a backup or of another cluster brings a transaction id that says nothing here. Below the watermark nobody would look for
-- it. A finished event need not be found, and keeps its place among those that are deleted when old.
create or replace function postrider.stamp_transaction() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.created_xid := pg_current_xact_id();
    return new;
end
$$;
comment on function postrider.stamp_transaction() is 'Gives an event that comes from elsewhere the transaction that inserts it here.';
revoke all on function postrider.stamp_transaction() from public;
