-- A way into the outbox for clients that return every column, and for COPY, which PostgreSQL refuses on a table with policies. It holds
-- no row, so there is nothing to read. What "returning *" returns is the row that the caller gave, with its id, status and time.
-- It is built on no column of the outbox, so that the outbox can change. PostgreSQL would not insert into it by itself: the trigger does.
create or replace view postrider.new_event as
select null::bigint as id, null::text as topic, null::json as payload, null::text as key, null::jsonb as headers,
       null::text as idempotency_key, null::text as destination, null::timestamptz as deliver_after,
       null::postrider.status as status, null::timestamptz as created_at
limit 0;
create or replace trigger insert_new_event instead of insert on postrider.new_event
    for each row execute function postrider.insert_new_event();
comment on view postrider.new_event is
    'Always empty. A row that is inserted here becomes an event of postrider.outbox. Made for COPY and for clients that write '
    '"returning *", or "default" for every column that the database fills. It does not take "on conflict".';
comment on column postrider.new_event.id is 'Event id.';
comment on column postrider.new_event.topic is 'As postrider.outbox.topic.';
comment on column postrider.new_event.payload is 'As postrider.outbox.payload.';
comment on column postrider.new_event.key is 'As postrider.outbox.key.';
comment on column postrider.new_event.headers is 'As postrider.outbox.headers.';
comment on column postrider.new_event.idempotency_key is 'As postrider.outbox.idempotency_key; a repeat is an error.';
comment on column postrider.new_event.destination is 'As postrider.outbox.destination.';
comment on column postrider.new_event.deliver_after is 'As postrider.outbox.deliver_after.';
comment on column postrider.new_event.status is 'pending.';
comment on column postrider.new_event.created_at is 'When the inserting transaction began.';
comment on trigger insert_new_event on postrider.new_event is 'Inserts the row into postrider.outbox, with the rights of the caller.';
revoke all on postrider.new_event from public;
grant select, insert on postrider.new_event to postrider_producer, postrider_dispatcher;
