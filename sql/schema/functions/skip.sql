create or replace function postrider.skip(inout delivery_id bigint, reason text, out status postrider.status)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    old postrider.delivery;
begin
    if coalesce(btrim(reason), '') = '' then
        raise exception 'delivery %: a skip needs a reason', skip.delivery_id
            using errcode = 'invalid_parameter_value', detail = 'Allowed is reason: a text that is not empty';
    end if;
    select * into old from postrider.delivery as d where d.id = skip.delivery_id for update;
    if old.id is null then
        raise exception 'delivery % does not exist', skip.delivery_id using errcode = 'no_data_found';
    end if;
    if old.status in ('complete', 'in_progress') then
        raise exception 'delivery % is %', old.id, old.status
            using errcode = 'object_not_in_prerequisite_state',
                  hint = case old.status when 'complete' then 'It holds up no other delivery.'
                         else format('An attempt is under way. Skip it when that has failed, or cancel its event: postrider.cancel(%s).',
                                     old.event_id) end;
    end if;
    perform postrider.skip_deliveries(array[old.id], reason);
    skip.status := 'failed';
end
$$;
comment on function postrider.skip(bigint, text) is
    'Gives up one delivery that waits, or that failed and holds up its key. The deliveries of its key that wait behind it go on. '
    'last_error keeps the reason, of 500 characters at most. retry and replay can still send it; retry_failed leaves it out. Returns '
    '(delivery_id, status). Raises P0002 for an unknown id, 55000 if the delivery is complete or in progress, 22023 without a reason.';
revoke all on function postrider.skip(bigint, text) from public;
grant execute on function postrider.skip(bigint, text) to postrider_dispatcher;
