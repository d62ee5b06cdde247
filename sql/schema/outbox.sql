-- The table that producers insert into. An event is one row. It is inserted once, and updated twice when all goes well (routed,
-- settled).
create table postrider.outbox (
    id              bigint           generated always as identity primary key,
    created_xid     xid8             not null default pg_current_xact_id(),
    created_at      timestamptz      not null default now(),
    completed_at    timestamptz,
    deliver_after   timestamptz      check (isfinite(deliver_after)),
    deliveries      integer,
    open_deliveries integer,
    failed          integer,
    status          postrider.status not null default 'pending',
    topic           text             not null,
    key             text             check (octet_length(key) between 1 and 256),
    idempotency_key text             check (octet_length(idempotency_key) between 1 and 256),
    destination     text             check (octet_length(destination) between 1 and 320),
    headers         jsonb,
    payload         json             not null,
    cancelled_at    timestamptz,
    payload_bytes   integer,
    row_key         text             check (octet_length(row_key) <= 1024),
    -- Whole, and not only where a key is set: "on conflict (idempotency_key)" finds no partial index without its predicate, and
    -- libraries write none. An event without a key has an entry here, too (docs/design/schema.md, "What a producer may see").
    constraint outbox_idempotency_key unique (idempotency_key),
    -- PostgreSQL checks a row again at each update. A check of the topic costs 1.5 us of server CPU per event, and one of headers
    -- many times that. So both are checked only while an event is pending, as it is when inserted.
    constraint topic_is_dotted_words_of_letters_digits_underscore_hyphen check (
        status <> 'pending' or (topic ~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$' and octet_length(topic) <= 128)),
    constraint outbox_headers_check check (status <> 'pending' or postrider.are_headers_valid(headers)),
    constraint status_agrees_with_counts check (case status
        when 'pending' then deliveries is null
        when 'in_progress' then deliveries is not null and open_deliveries > 0
        when 'complete' then deliveries is not null and open_deliveries = 0 and failed = 0
        when 'failed' then deliveries is not null and open_deliveries = 0
            -- The last: its destination did not exist.
            and (failed > 0 or cancelled_at is not null or (deliveries = 0 and destination is not null))
    end),
    constraint finished_has_a_time check ((status in ('complete', 'failed')) = (completed_at is not null)),
    constraint counts_are_kept_together check (
        (deliveries is null) = (open_deliveries is null) and (deliveries is null) = (failed is null)
        and open_deliveries >= 0 and failed >= 0 and open_deliveries + failed <= deliveries)
) with (
    -- The two updates of a row (routed, settled) stay on its page. They are HOT and touch no index.
    fillfactor = 30,
    toast_tuple_target = 256,
    -- A vacuum after every 5,000 dead rows costs more the longer the history is. It skips the indexes as long as at most two pages in
    -- a hundred have dead entries, and reads all these pages again each time. A vacuum after two rows in a hundred goes through
    -- pages and indexes once. At 3 million events that costs 5 us of server CPU per event instead of 25.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 5000,
    -- To cut off the end of a table, vacuum locks all other sessions out for a moment, here and on standbys. Under steady load the
    -- table grows again at once. New rows use the room of deleted ones, and vacuum (truncate) still gives it back.
    vacuum_truncate = off, toast.vacuum_truncate = off
);
comment on table postrider.outbox is
    'Events. Insert (topic, payload) in your own transaction. The event is delivered to every subscribed endpoint if, and only if, that '
    'transaction commits. postrider.cancel stops an event; postrider.retry and postrider.replay send it again.';
comment on column postrider.outbox.id is 'Event id, in order of insertion.';
comment on column postrider.outbox.created_xid is 'Private: the inserting transaction, where the search for unrouted events starts.';
comment on column postrider.outbox.created_at is 'When the inserting transaction began.';
comment on column postrider.outbox.completed_at is
    'When the last delivery was settled; null again while a delivery is retried or replayed.';
comment on column postrider.outbox.deliver_after is 'The first attempt comes no earlier; null: at once.';
comment on column postrider.outbox.deliveries is
    'How many endpoints get the event; null until routed; 0: no endpoint subscribed, the destination did not exist, or the event was '
    'cancelled before.';
comment on column postrider.outbox.open_deliveries is 'How many deliveries are neither complete nor failed yet.';
comment on column postrider.outbox.failed is 'How many deliveries were given up or cancelled.';
comment on column postrider.outbox.status is
    'pending; in_progress from routing until the last delivery is settled; then complete, or failed if a delivery was given up or '
    'cancelled. An event that no endpoint subscribes to is complete; one whose destination does not exist is failed.';
comment on column postrider.outbox.topic is 'Event type: dotted words of [A-Za-z0-9_-], at most 128 bytes.';
comment on column postrider.outbox.key is 
    'Ordering key, at most 256 bytes: an ordered endpoint gets the events of one key one after the other.';
comment on column postrider.outbox.idempotency_key is 'Unique where set, at most 256 bytes: insert ... on conflict (idempotency_key) do nothing.';
comment on column postrider.outbox.destination is
    'Endpoint id, or TEMPLATE/VALUE, at most 320 bytes. The event goes to that endpoint alone, whatever its topics. An endpoint of a '
    'template is made when the first event for it is routed. Nobody gets the event if there is no such endpoint or template then; '
    'postrider.backlog counts such events.';
comment on column postrider.outbox.headers is 'Object of strings, sent as HTTP headers; reserved names are refused.';
comment on column postrider.outbox.payload is 'The body of the event, sent and signed byte for byte as inserted.';
comment on column postrider.outbox.cancelled_at is 'When the event was cancelled. Deliveries that were complete by then stay complete.';
comment on column postrider.outbox.payload_bytes is
    'Size of the payload as it is sent; null: less than 2000 bytes, or inserted before this column existed.';

comment on column postrider.outbox.row_key is
    'Private: the row of an attached table that the event tells of, as 7["42"]: the number of the attachment, and the primary key; null: '
    'none.';

-- Finds the newest event of a row of an attached table, and the events of an attachment. Other events have no entry here.
create index outbox_by_row on postrider.outbox (row_key collate "C", id) where row_key is not null;

-- The queue of unrouted events. Its columns never change, so that routing an event touches no index. A search starts at the
-- watermark, so it skips events that are routed (ARCHITECTURE.md, "The watermark").
create index outbox_by_transaction on postrider.outbox (created_xid, id);
-- A replay finds events by time here. A block range costs an insert next to nothing.
create index outbox_by_time on postrider.outbox using brin (created_at) with (pages_per_range = 32);

create trigger ring after insert on postrider.outbox
    for each statement
    when (pg_catalog.current_setting('postrider.ring', true) is distinct from 'off')
    execute function postrider.ring();
-- Sessions that load rows as a replica does (session_replication_role) ring too.
alter table postrider.outbox enable always trigger ring;
comment on trigger ring on postrider.outbox is
    'Wakes a sleeping dispatcher. `set postrider.ring = off` silences it for one session, because PREPARE TRANSACTION refuses a '
    'transaction that used NOTIFY.';

-- A size is stored only for other payloads, because claims never look into a small one.
create trigger size_payload before insert on postrider.outbox
    for each row
    when (pg_catalog.pg_column_size(new.payload) operator(pg_catalog.>=) 2000
          or pg_catalog.pg_column_compression(new.payload) is not null)
    execute function postrider.size_payload();
-- Rows that logical replication brings get a size too.
alter table postrider.outbox enable always trigger size_payload;
comment on trigger size_payload on postrider.outbox is 'Stores the size of a payload that is not small, or that arrives compressed.';

-- An insert takes its own transaction by default. Rows of a backup, and those that logical replication brings, name another one.
create trigger stamp_transaction before insert on postrider.outbox
    for each row
    when (new.created_xid operator(pg_catalog.<>) pg_catalog.pg_current_xact_id()
          and new.status operator(pg_catalog.=) 'pending'::postrider.status)
    execute function postrider.stamp_transaction();
alter table postrider.outbox enable always trigger stamp_transaction;
comment on trigger stamp_transaction on postrider.outbox is
    'Gives an unrouted event that comes from elsewhere the transaction that inserts it here, so that it is found.';

-- Most events tell of no row. For them the condition is all that this costs.
create trigger note_row after update of status on postrider.outbox
    for each row
    when (new.row_key is not null and new.status operator(pg_catalog.<>) old.status)
    execute function postrider.note_row();
alter table postrider.outbox enable always trigger note_row;
comment on trigger note_row on postrider.outbox is
    'Notes that the row of an attached table may need another status: a dispatcher writes it later, in a transaction of its own.';

-- Producers may insert these columns. The triggers run with the producers' rights.
grant insert (topic, payload, key, headers, idempotency_key, destination, deliver_after)
    on postrider.outbox to postrider_producer;
-- "returning" needs the right to read what it returns, and "on conflict (idempotency_key)" the right to read that column.
grant select (id, created_at, status, idempotency_key) on postrider.outbox to postrider_producer;
-- So the first policy lets everybody do what they were granted, and the second lets a producer see rows of its own transaction alone.
-- It holds back nothing from a role that may read the outbox anyway.
alter table postrider.outbox enable row level security;
create policy everybody on postrider.outbox using (true) with check (true);
create policy producers on postrider.outbox as restrictive for select to postrider_producer
    using (created_xid = pg_current_xact_id_if_assigned()
        or pg_has_role('postrider_reader', 'usage') or pg_has_role('postrider_dispatcher', 'usage'));
comment on policy everybody on postrider.outbox is 'Grants say who may do what. Further policies must be restrictive.';
comment on policy producers on postrider.outbox is
    'A producer sees no row but those of its own transaction. A role that is a reader or a dispatcher too sees all.';
grant usage on sequence postrider.outbox_id_seq to postrider_producer, postrider_dispatcher;
grant select (id, created_at, completed_at, deliver_after, deliveries, open_deliveries, failed, status, topic, key, idempotency_key,
    destination, cancelled_at, payload_bytes) on postrider.outbox to postrider_reader;
grant select, insert, update, delete on postrider.outbox to postrider_dispatcher;
