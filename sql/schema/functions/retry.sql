create or replace function postrider.retry(inout delivery_id bigint, out status postrider.status, out is_behind boolean)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    old   postrider.delivery;
    first postrider.delivery;
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
            if old.due_at is null then
                -- Nothing keeps the first of a lane from being due, unless somebody freed the lane a moment ago.
                perform postrider.open_lanes(array[old.endpoint_no], array[old.lane]);
            end if;
            update postrider.delivery as d
            set due_at = case when d.due_at is not null then clock_timestamp() end, cancelled_at = null
            where d.id = old.id;
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
    select d.due_at is null or (d.lane is not null and old.lane is null) into is_behind
    from postrider.delivery as d where d.id = old.id;
    if is_behind and old.status = 'pending' and old.cancelled_at is null then
        select * into first
        from postrider.delivery as d
        where d.endpoint_no = old.endpoint_no and d.lane = old.lane
        order by d.endpoint_no, d.lane, d.place
        limit 1;
        raise exception 'delivery % waits for delivery %, which comes first in its key', old.id, first.id
            using errcode = 'object_not_in_prerequisite_state',
                  hint = case first.status when 'in_progress' then format('An attempt of delivery %s is under way.', first.id)
                         else format('Retry that one with postrider.retry(%1$s), or give it up with postrider.skip(%1$s, ''why'').', first.id)
                         end;
    end if;
    retry.status := 'pending';
end
$$;
comment on function postrider.retry(bigint) is
    'Makes a failed or waiting delivery due at once. A failed one starts its whole retry schedule again, and a cancelled one is no '
    'longer cancelled. Where order is kept per key, a failed one that holds up its key goes first again. If the key went on without it, '
    'it goes to the end of the key, and is_behind says so. Returns (delivery_id, status, is_behind: others of its key come first). Raises '
    'P0002 for an unknown id, 55000 if the delivery is complete or in progress, waits for another one of its key, or its endpoint was '
    'deleted.';
revoke all on function postrider.retry(bigint) from public;
grant execute on function postrider.retry(bigint) to postrider_dispatcher;
