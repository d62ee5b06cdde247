-- Runs with the rights of its caller. So grants, policies and triggers judge the row as they judge an INSERT. Only the two functions
-- that it calls read more than a producer may.
create or replace function postrider.publish(
    topic text, payload json, key text default null, headers jsonb default null, idempotency_key text default null,
    destination text default null, deliver_after timestamptz default null,
    out event_id bigint, out webhook_id text, out is_repeat boolean
) language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    wrong        text;
    published_at timestamptz;
begin
    wrong := case
        when coalesce(publish.topic, '') !~ '^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$' or octet_length(publish.topic) > 128 then
            'topic: dotted words of [A-Za-z0-9_-], at most 128 bytes, as order.created'
        when publish.payload is null then
            'payload: any JSON; the text null is one, a null of SQL is none'
        when octet_length(publish.key) not between 1 and 256 then
            'key: 1 to 256 bytes, or null'
        when not postrider.are_headers_valid(publish.headers) then
            'headers: an object of strings, 8192 bytes in all; names are HTTP tokens and not reserved, values are visible ASCII'
        when octet_length(publish.idempotency_key) not between 1 and 256 then
            'idempotency_key: 1 to 256 bytes, or null'
        when publish.destination !~ '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}(/.+)?$' or octet_length(publish.destination) > 320 then
            'destination: the id of an endpoint, which is 1 to 64 of [A-Za-z0-9._-], not starting with a full stop; or TEMPLATE/VALUE, at most 320 bytes; or null'
        when not isfinite(publish.deliver_after) then
            'deliver_after: a time that comes, or null'
    end;
    if wrong is not null then
        raise exception 'event: invalid %', split_part(wrong, ':', 1)
            using errcode = 'invalid_parameter_value', detail = 'Allowed is ' || wrong;
    end if;
    -- The first event may be deleted between the INSERT, which met it, and the look-up, which then does not find it.
    for try in 1..10 loop
        insert into postrider.outbox as o (topic, payload, key, headers, idempotency_key, destination, deliver_after)
        values (publish.topic, publish.payload, publish.key, publish.headers, publish.idempotency_key, publish.destination,
                publish.deliver_after)
        on conflict on constraint outbox_idempotency_key do nothing
        returning o.id, o.created_at into event_id, published_at;
        if found then
            webhook_id := postrider.webhook_id_of(event_id, published_at);
            is_repeat := false;
            return;
        end if;
        select e.event_id, e.webhook_id into event_id, webhook_id from postrider.event_with_key(publish.idempotency_key) as e;
        if event_id is not null then
            is_repeat := true;
            return;
        end if;
        if publish.idempotency_key is null then
            raise exception 'event: a trigger on postrider.outbox keeps it from being inserted'
                using errcode = 'triggered_action_exception';
        end if;
    end loop;
    -- As after a failed serialisation: the same transaction, done again, succeeds.
    raise exception 'event: the first one with this idempotency_key is being deleted; try again' using errcode = 'serialization_failure';
end
$$;
comment on function postrider.publish(text, json, text, jsonb, text, text, timestamptz) is
    'Inserts an event, in the transaction of its caller. Returns (event_id, webhook_id, is_repeat). If an event with this '
    'idempotency_key exists, nothing is inserted, is_repeat is true, and the ids are those of the first event. Raises 22023 for an '
    'invalid argument. A payload of type jsonb needs a cast: payload::json.';
revoke all on function postrider.publish(text, json, text, jsonb, text, text, timestamptz) from public;
grant execute on function postrider.publish(text, json, text, jsonb, text, text, timestamptz) to postrider_producer, postrider_dispatcher;
