-- Runs with the rights of its caller, as an INSERT into the outbox does.
create or replace function postrider.insert_new_event() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Some libraries name every column, and write "default" for those of the database.
    if new.id is not null or new.status is not null or new.created_at is not null then
        raise exception 'event: invalid id, status or created_at'
            using errcode = 'generated_always', detail = 'Allowed is default or null: the database gives them';
    end if;
    insert into postrider.outbox as o (topic, payload, key, headers, idempotency_key, destination, deliver_after)
    values (new.topic, new.payload, new.key, new.headers, new.idempotency_key, new.destination, new.deliver_after)
    returning o.id, o.status, o.created_at into new.id, new.status, new.created_at;
    return new;
end
$$;
comment on function postrider.insert_new_event() is 'Inserts a row of postrider.new_event into the outbox.';
revoke all on function postrider.insert_new_event() from public;
grant execute on function postrider.insert_new_event() to postrider_producer, postrider_dispatcher;
