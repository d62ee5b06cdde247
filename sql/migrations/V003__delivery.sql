-- why: one row per event and endpoint, the claims on them, and one row per HTTP request.
-- old code: none.

create table postrider.dispatcher (
    id          bigint      generated always as identity primary key,
    host        text        not null,
    version     text        not null,
    started_at  timestamptz not null default now(),
    lease_until timestamptz not null,
    is_leader   boolean     not null default false,
    wake_mode   text        not null check (wake_mode in ('notify', 'poll')),
    wake_reason text
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
comment on table postrider.dispatcher is 'One row per running dispatcher: its lease covers all its claims. Private; read postrider.dispatcher_status.';
comment on column postrider.dispatcher.id is 'New at every start, and after a lost lease.';
comment on column postrider.dispatcher.host is 'Host name and process id.';
comment on column postrider.dispatcher.version is 'Postrider version.';
comment on column postrider.dispatcher.started_at is 'When it registered.';
comment on column postrider.dispatcher.lease_until is 'Renewed while it lives; afterwards any dispatcher may take its claims back.';
comment on column postrider.dispatcher.is_leader is 'Whether it arms the bell.';
comment on column postrider.dispatcher.wake_mode is 'notify: woken by LISTEN/NOTIFY; poll: looks every poll interval.';
comment on column postrider.dispatcher.wake_reason is 'Why it polls.';

create table postrider.claim (
    id            bigint   generated always as identity primary key,
    dispatcher_id bigint   not null references postrider.dispatcher (id),
    delivery_ids  bigint[] not null check (cardinality(delivery_ids) between 1 and 10000)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
create index claim_by_dispatcher on postrider.claim (dispatcher_id);
comment on table postrider.claim is
    'A batch of deliveries that a dispatcher may attempt while its lease lasts: fencing token and list for rescue at once. Gone when the last of them is settled. Private.';
comment on column postrider.claim.id is 'The token that every write of an outcome must name.';
comment on column postrider.claim.dispatcher_id is 'Who holds it.';
comment on column postrider.claim.delivery_ids is 'What was claimed together.';

create table postrider.delivery (
    id               bigint           generated always as identity primary key,
    event_id         bigint           not null,
    claim_id         bigint,
    due_at           timestamptz,
    created_at       timestamptz      not null default now(),
    completed_at     timestamptz,
    failed_at        timestamptz,
    endpoint_no      integer          not null,
    status           postrider.status not null,
    attempts         integer          not null default 0 check (attempts >= 0),
    last_status_code smallint,
    last_error       text,
    constraint pending_is_due check ((status = 'pending') = (due_at is not null)),
    constraint in_progress_is_claimed check ((status = 'in_progress') = (claim_id is not null)),
    constraint finished_has_a_time check ((status in ('complete', 'failed')) = (completed_at is not null)),
    constraint failed_has_a_time check ((status = 'failed') = (failed_at is not null))
) with (
    -- No index mentions status, claim_id, attempts or completed_at, and due_at and failed_at stay null on the
    -- happy path: settling is a HOT update as long as the page has room.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 5000
);
create unique index delivery_by_event on postrider.delivery (event_id, endpoint_no);
create index delivery_due on postrider.delivery (endpoint_no, due_at, id) where due_at is not null;
create index delivery_failed on postrider.delivery (endpoint_no, failed_at) where failed_at is not null;
comment on table postrider.delivery is 'One event for one endpoint. Private; read postrider.delivery_status.';
comment on column postrider.delivery.id is 'Delivery id.';
comment on column postrider.delivery.event_id is 'The event; no foreign key, it would cost more than the insert.';
comment on column postrider.delivery.claim_id is 'The claim that entitles to an attempt, while in progress.';
comment on column postrider.delivery.due_at is 'Not before, while pending.';
comment on column postrider.delivery.created_at is 'When the event was routed.';
comment on column postrider.delivery.completed_at is 'When it was settled for good.';
comment on column postrider.delivery.failed_at is 'When it was given up.';
comment on column postrider.delivery.endpoint_no is 'The endpoint.';
comment on column postrider.delivery.status is 'pending, in_progress, complete or failed.';
comment on column postrider.delivery.attempts is 'Attempts begun, counted at the claim.';
comment on column postrider.delivery.last_status_code is 'HTTP status of the last settled attempt; null if there was no answer.';
comment on column postrider.delivery.last_error is 'Why the last settled attempt failed.';

create table postrider.attempt (
    delivery_id      bigint           not null,
    started_at       timestamptz      not null,
    endpoint_no      integer          not null,
    duration_ms      integer          not null,
    attempt          integer          not null,
    status_code      smallint,
    outcome          postrider.status not null,
    error            text,
    response_excerpt text,
    primary key (delivery_id, attempt)
) with (
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_vacuum_cost_delay = 0
);
create index attempt_unsuccessful on postrider.attempt (endpoint_no, started_at) where outcome <> 'complete';
create index attempt_by_time on postrider.attempt using brin (started_at);
comment on table postrider.attempt is 'One HTTP request. Append-only and private; read postrider.attempt_log.';
comment on column postrider.attempt.delivery_id is 'The delivery.';
comment on column postrider.attempt.started_at is 'When the request began.';
comment on column postrider.attempt.endpoint_no is 'The endpoint.';
comment on column postrider.attempt.duration_ms is 'Until the answer was read or given up, in milliseconds.';
comment on column postrider.attempt.attempt is 'First attempt: 1.';
comment on column postrider.attempt.status_code is 'HTTP status; null if there was no answer.';
comment on column postrider.attempt.outcome is 'What the delivery became: complete, pending (to be retried) or failed.';
comment on column postrider.attempt.error is 'Why it failed.';
comment on column postrider.attempt.response_excerpt is 'At most 2 KiB of the response body; what is not text is replaced.';
