-- why: the table that producers insert into, and the bell that wakes a sleeping dispatcher.
-- old code: first migration.

create type postrider.status as enum (
    'pending',      -- inserted; or given back, or due again after a failed attempt
    'in_progress',  -- event: routed; delivery: claimed by a dispatcher
    'complete',     -- every delivery was answered with 2xx
    'failed'        -- every delivery is settled and at least one was given up
);
comment on type postrider.status is
    'pending -> in_progress -> complete | failed; a delivery whose attempt failed is pending again until its attempts are used up.';

create table postrider.installation (
    only_row         boolean primary key default true check (only_row),
    code             text    not null default left(replace(gen_random_uuid()::text, '-', ''), 10),
    endpoint_version bigint  not null default 1,
    routed_below     xid8    not null default '0'
);
comment on table postrider.installation is 'One row: what is true of this installation as a whole. Private: may change in any release.';
comment on column postrider.installation.only_row is 'Always true: there is one row.';
comment on column postrider.installation.code is 'Random part of every webhook-id, so that two databases never send the same one.';
comment on column postrider.installation.endpoint_version is 'Grows with every change of an endpoint; a dispatcher whose copy is older reads the endpoints again before it routes.';
comment on column postrider.installation.routed_below is 'Every event inserted by a transaction with a lower id is routed: where the sweep at start begins.';
insert into postrider.installation default values;

-- Header rules of HTTP (RFC 9110 section 5) plus the names that Postrider or HTTP itself owns.
create function postrider.are_headers_valid(headers jsonb) returns boolean
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp
return jsonb_typeof(headers) = 'object'
   and octet_length(headers::text) <= 8192
   and not exists (
        select from jsonb_each(case jsonb_typeof(headers) when 'object' then headers else '{}' end) as h (name, value)
        where jsonb_typeof(h.value) <> 'string'
           or h.name !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]{1,128}$'
           or h.value #>> '{}' !~ '^[\x20-\x7e]*$'
           or lower(h.name) in ('host', 'connection', 'content-length', 'content-type', 'content-encoding', 'expect',
                'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'user-agent')
           or lower(h.name) ~ '^(webhook-|postrider-|proxy-)');
comment on function postrider.are_headers_valid(jsonb) is
    'Whether every name is an HTTP token and not reserved (host, connection, content-*, webhook-*, postrider-*, proxy-* ...) and every value is visible ASCII and spaces.';

create table postrider.outbox (
    id              bigint           generated always as identity primary key,
    created_xid     xid8             not null default pg_current_xact_id(),
    created_at      timestamptz      not null default now(),
    completed_at    timestamptz,
    deliver_after   timestamptz      check (isfinite(deliver_after)),
    deliveries      integer,
    unsettled       integer,
    failed          integer,
    status          postrider.status not null default 'pending',
    topic           text             not null,
    key             text             check (octet_length(key) between 1 and 256),
    idempotency_key text             check (octet_length(idempotency_key) between 1 and 256),
    destination     text             check (octet_length(destination) between 1 and 64),
    headers         jsonb            check (postrider.are_headers_valid(headers)),
    payload         json             not null,
    constraint topic_is_dotted_words_of_letters_digits_underscore_hyphen
        check (topic ~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$' and octet_length(topic) <= 128),
    constraint status_agrees_with_counts check (case status
        when 'pending' then deliveries is null
        when 'in_progress' then deliveries is not null and unsettled > 0
        when 'complete' then deliveries is not null and unsettled = 0 and failed = 0
        when 'failed' then deliveries is not null and unsettled = 0 and failed > 0
    end),
    constraint finished_has_a_time check ((status in ('complete', 'failed')) = (completed_at is not null)),
    constraint counts_are_kept_together check (
        (deliveries is null) = (unsettled is null) and (deliveries is null) = (failed is null)
        and unsettled >= 0 and failed >= 0 and unsettled + failed <= deliveries)
) with (
    -- Two updates a row (routed, settled) stay on its page: HOT, no index touched.
    fillfactor = 30,
    toast_tuple_target = 256,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 5000
);
-- The queue of unrouted events. Its columns never change, so that routing an event touches no index;
-- what is routed already is passed over by starting at a floor (see route.rs).
create index outbox_by_transaction on postrider.outbox (created_xid, id);
create unique index outbox_idempotency_key on postrider.outbox (idempotency_key) where idempotency_key is not null;

comment on table postrider.outbox is
    'Events. Insert (topic, payload) in your own transaction: it is delivered to every subscribed endpoint if, and only if, that transaction commits.';
comment on column postrider.outbox.id is 'Order of insertion.';
comment on column postrider.outbox.created_xid is 'Private: the inserting transaction, where the search for unrouted events starts.';
comment on column postrider.outbox.created_at is 'When the inserting transaction began.';
comment on column postrider.outbox.completed_at is 'When the last delivery was settled.';
comment on column postrider.outbox.deliver_after is 'Not before this time; null: at once.';
comment on column postrider.outbox.deliveries is 'How many endpoints matched; null until routed, 0: nobody subscribes.';
comment on column postrider.outbox.unsettled is 'How many deliveries are neither complete nor failed yet.';
comment on column postrider.outbox.failed is 'How many deliveries were given up.';
comment on column postrider.outbox.status is 'pending, in_progress from routing until the last delivery is settled, then complete, or failed if one was given up.';
comment on column postrider.outbox.topic is 'Event type: dotted words of [A-Za-z0-9_-], at most 128 bytes.';
comment on column postrider.outbox.key is 'Ordering key, at most 256 bytes.';
comment on column postrider.outbox.idempotency_key is 'Unique where set, at most 256 bytes: insert ... on conflict do nothing.';
comment on column postrider.outbox.destination is 'Endpoint id: deliver to that endpoint alone, whatever it subscribes to.';
comment on column postrider.outbox.headers is 'Object of strings, sent as HTTP headers; reserved names are refused.';
comment on column postrider.outbox.payload is 'Sent and signed byte for byte as inserted.';

create function postrider.bell_key() returns bigint
language sql immutable parallel safe
return pg_catalog.hashtextextended('postrider.bell', 0);
comment on function postrider.bell_key() is 'Advisory lock: held exclusively while the leading dispatcher sleeps, shared by producers that did not ring.';

create function postrider.leader_key() returns bigint
language sql immutable parallel safe
return pg_catalog.hashtextextended('postrider.leader', 0);
comment on function postrider.leader_key() is 'Advisory lock of the dispatcher that arms the bell.';

-- The producer's half of the bell (ARCHITECTURE.md, "The bell"). It must never fail an INSERT: whatever goes wrong,
-- the dispatcher's fallback poll still finds the row.
-- Every name is qualified instead of pinning search_path, which would cost each insert a microsecond.
create function postrider.ring() returns trigger
language plpgsql as $$
begin
    if not pg_catalog.pg_try_advisory_xact_lock_shared(postrider.bell_key()) then
        perform pg_catalog.pg_notify('postrider', '');
    end if;
    return null;
exception when others then
    return null;
end
$$;
comment on function postrider.ring() is 'Wakes a sleeping dispatcher; says nothing while one is awake, so that commits are not serialised.';

create trigger ring after insert on postrider.outbox
    for each statement
    when (pg_catalog.current_setting('postrider.ring', true) is distinct from 'off')
    execute function postrider.ring();
comment on trigger ring on postrider.outbox is
    'set postrider.ring = off silences it for one session: PREPARE TRANSACTION refuses a transaction that used NOTIFY.';

create function postrider.webhook_id(installation_code text, event_id bigint, created_at timestamptz) returns text
language sql stable parallel safe
return 'evt_' || installation_code || '_' || to_hex((extract(epoch from created_at) * 1000000)::bigint) || '_' || event_id;
comment on function postrider.webhook_id(text, bigint, timestamptz) is
    'The webhook-id of an event: the same on every attempt and to every endpoint, without a full stop, different in every database and after a restore.';
