create or replace function postrider.retry(inout delivery_id bigint, out status postrider.status)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    old   postrider.delivery;
    state text;
begin
    select * into old from postrider.delivery as d where d.id = retry.delivery_id for update;
    if old.id is null then
        raise exception 'delivery % does not exist', retry.delivery_id using errcode = 'no_data_found';
    end if;
    select e.state into state from postrider.endpoint as e where e.endpoint_no = old.endpoint_no;
    if state is null or state = 'deleted' then
        raise exception 'delivery % cannot be retried: its endpoint was deleted', old.id
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    case old.status
        when 'failed' then
            perform postrider.make_pending(array[old.id]);
        when 'pending' then
            update postrider.delivery as d set due_at = clock_timestamp(), cancelled_at = null where d.id = old.id;
            if old.cancelled_at is not null then
                update postrider.outbox as o set cancelled_at = null where o.id = old.event_id;
            end if;
            perform pg_notify('postrider', '');
        else
            raise exception 'delivery % is %', old.id, old.status
                using errcode = 'object_not_in_prerequisite_state',
                      hint = case old.status when 'complete' then 'postrider.replay sends complete deliveries again.'
                                             else 'An attempt is under way.' end;
    end case;
    retry.status := 'pending';
end
$$;
comment on function postrider.retry(bigint) is
    'Makes a failed or waiting delivery due at once. A failed one starts its whole retry schedule again, and a cancelled one is no '
    'longer cancelled. Returns (delivery_id, status). Raises P0002 for an unknown id, 55000 if the delivery is complete or in progress, '
    'or its endpoint was deleted.';
revoke all on function postrider.retry(bigint) from public;
grant execute on function postrider.retry(bigint) to postrider_dispatcher;
