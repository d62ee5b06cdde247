create or replace function postrider.pause_table(inout relation regclass, inout reason text default null, out state text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- A second pause without a reason keeps the reason of the first.
    update postrider.attachment as a
    set state = 'paused',
        reason = coalesce(left(pause_table.reason, 500), case when a.state = 'paused' then a.reason end),
        paused_at = case when a.state = 'paused' then a.paused_at else clock_timestamp() end
    where a.relation = pause_table.relation
    returning a.reason, a.state into pause_table.reason, pause_table.state;
    if not found then
        perform postrider.existing_attachment(pause_table.relation);
    end if;
end
$$;
comment on function postrider.pause_table(regclass, text) is
    'Pauses an attached table: its changes are not heard until postrider.resume_table. View attached_table shows the reason. Events that exist '
    'are delivered, and their status is written. Locks no table. Returns (relation, reason, state). Raises P0002 if it is not attached.';
revoke all on function postrider.pause_table(regclass, text) from public;
grant execute on function postrider.pause_table(regclass, text) to postrider_dispatcher;
