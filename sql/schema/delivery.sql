-- Deliveries: one row per event and endpoint. Attempts: one row per HTTP request, unless the delivery's row tells everything about it.
-- Refused rows: one row per event or delivery that the database refused to write.
create table postrider.delivery (
    id                bigint           generated always as identity primary key,
    event_id          bigint           not null,
    claim_id          bigint,
    due_at            timestamptz,
    created_at        timestamptz      not null default now(),
    completed_at      timestamptz,
    failed_at         timestamptz,
    endpoint_no       integer          not null,
    status            postrider.status not null,
    attempts          integer          not null default 0 check (attempts >= 0),
    last_status_code  smallint,
    last_error        text,
    attempts_before   integer          check (attempts_before >= 0),
    cancelled_at      timestamptz,
    first_duration_ms integer,
    paced             integer          check (paced >= 0),
    lane              text,
    place             bigint,
    failing_since     timestamptz,
    -- In a lane, those behind the head wait for it, and are not due.
    constraint pending_is_due check (case when due_at is null then status <> 'pending' or lane is not null else status = 'pending' end),
    constraint complete_has_left_its_lane check (status <> 'complete' or lane is null),
    constraint lane_has_places check ((lane is null) = (place is null)),
    constraint in_progress_is_claimed check ((status = 'in_progress') = (claim_id is not null)),
    constraint finished_has_a_time check ((status in ('complete', 'failed')) = (completed_at is not null)),
    constraint failed_has_a_time check ((status = 'failed') = (failed_at is not null))
) with (
    -- No index mentions status, claim_id, attempts or completed_at, and due_at, failed_at and (outside of lanes) lane stay null
    -- on the happy path: settling is a HOT update as long as the page has room.
    fillfactor = 50,
    -- The same values as for the outbox, for the same reasons.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 5000,
    vacuum_truncate = off
);
comment on table postrider.delivery is 'One event for one endpoint. Private; read postrider.delivery_status.';
comment on column postrider.delivery.id is 'Delivery id.';
comment on column postrider.delivery.event_id is 'The event. There is no foreign key, because it would cost more than the insert.';
comment on column postrider.delivery.claim_id is 'The claim that entitles its dispatcher to an attempt, while in progress.';
comment on column postrider.delivery.due_at is 'The next attempt comes no earlier, while pending.';
comment on column postrider.delivery.created_at is 'When the event was routed.';
comment on column postrider.delivery.completed_at is 'When the delivery became complete or failed.';
comment on column postrider.delivery.failed_at is 'When the delivery was given up or cancelled.';
comment on column postrider.delivery.endpoint_no is 'The endpoint.';
comment on column postrider.delivery.status is 'pending, in_progress, complete or failed.';
comment on column postrider.delivery.attempts is 'Attempts begun, counted at the claim.';
comment on column postrider.delivery.last_status_code is 'HTTP status of the last settled attempt; null if there was no answer.';
comment on column postrider.delivery.last_error is 'Why the last settled attempt failed.';
comment on column postrider.delivery.attempts_before is
    'Attempts before the last retry or replay. The retry schedule began anew after them.';
comment on column postrider.delivery.cancelled_at is 'When the event was cancelled, or the delivery was skipped. It gets no further attempt.';
comment on column postrider.delivery.first_duration_ms is
    'How long the first attempt took, in milliseconds, if it succeeded at once with an empty answer. Such an attempt has no row in '
    'postrider.attempt until the delivery has another attempt.';
comment on column postrider.delivery.paced is
    'Attempts since the last retry or replay that the endpoint refused for pace. The retry schedule does not count them.';

comment on column postrider.delivery.lane is
    'The event''s key, if the endpoint is ordered: deliveries of one lane are attempted one after the other. Null once this delivery '
    'holds up no other: it is complete, was cancelled or skipped, or failed where the key goes on.';
comment on column postrider.delivery.place is
    'The place in the lane: the lowest is the head. It is the event''s id, unless the lane already had a higher place, or the delivery was '
    'put at the end again.';
comment on column postrider.delivery.failing_since is
    'In a lane, when the first attempt began that failed since the last retry or replay. Null if none did.';

create unique index delivery_by_event on postrider.delivery (event_id, endpoint_no);
create index delivery_due on postrider.delivery (endpoint_no, due_at, id) where due_at is not null;
create index delivery_failed on postrider.delivery (endpoint_no, failed_at) where failed_at is not null;
-- Finds deliveries that were given back after their event was cancelled, until they are given up. Both columns are null on the
-- happy path.
create index delivery_cancelled on postrider.delivery (id) where cancelled_at is not null and due_at is not null;
-- The same for those that wait behind the first of their lane.
create index delivery_cancelled_in_lane on postrider.delivery (id) where cancelled_at is not null and lane is not null;
-- Finds the newest failures, of all endpoints or of one. Only deliveries that fail pay for it.
create index delivery_failed_by_id on postrider.delivery (id, endpoint_no) where failed_at is not null;
-- Finds first attempts without a row of their own by time. A block range costs an insert next to nothing.
create index delivery_by_time on postrider.delivery using brin (created_at) with (pages_per_range = 32);
-- Finds the head of a lane, what follows it, and all lanes. Deliveries outside of lanes pay nothing.
create index delivery_by_lane on postrider.delivery (endpoint_no, lane, place) where lane is not null;
-- Finds the blocked keys. A look at each lane would take seconds, once a million keys wait for an endpoint that is down.
create index delivery_blocked on postrider.delivery (endpoint_no, lane) where lane is not null and failing_since is not null;
grant select, insert, update, delete on postrider.delivery to postrider_dispatcher;

-- Most deliveries succeed at the first attempt, and their rows tell nearly everything about it (first_duration_ms). Those attempts
-- have no row here, which spares a sixth of the server's work per event.
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
    autovacuum_vacuum_cost_delay = 0,
    vacuum_truncate = off
);
comment on table postrider.attempt is 'One HTTP request. Append-only and private; read postrider.attempt_log.';
comment on column postrider.attempt.delivery_id is 'The delivery.';
comment on column postrider.attempt.started_at is 'When the request began.';
comment on column postrider.attempt.endpoint_no is 'The endpoint.';
comment on column postrider.attempt.duration_ms is 'Time until the answer was read or given up, in milliseconds.';
comment on column postrider.attempt.attempt is 'Number of the attempt, from 1.';
comment on column postrider.attempt.status_code is 'HTTP status; null if there was no answer.';
comment on column postrider.attempt.outcome is 'Status of the delivery after the attempt: complete, pending (to be retried) or failed.';
comment on column postrider.attempt.error is 'Why the attempt failed.';
comment on column postrider.attempt.response_excerpt is 'At most 2 KiB of the response body; bytes that are not text are replaced.';
create index attempt_unsuccessful on postrider.attempt (endpoint_no, started_at) where outcome <> 'complete';
create index attempt_by_time on postrider.attempt using brin (started_at);
grant select, insert, update, delete on postrider.attempt to postrider_dispatcher;

create table postrider.refused (
    stage    text        not null check (stage in (
        'route',      -- the event cannot be routed
        'claim',      -- the delivery cannot be claimed
        'settle',     -- the outcome of an attempt cannot be written
        'give_back',  -- the delivery cannot be made pending again
        'give_up',    -- the delivery cannot be given up
        'delete')),   -- the event is old enough to be deleted, and cannot be
    id       bigint      not null,
    reason   text        not null,
    tries    integer     not null default 1,
    since    timestamptz not null default clock_timestamp(),
    retry_at timestamptz not null,
    primary key (stage, id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
comment on table postrider.refused is
    'One row per event or delivery that the database refused to write on its own and that is tried again later. Private; read '
    'postrider.set_aside.';
comment on column postrider.refused.stage is 'The refused step: route, claim, settle, give_back, give_up or delete.';
comment on column postrider.refused.id is 'An event''s id for route and delete; a delivery''s id for the other stages.';
comment on column postrider.refused.reason is 'The database''s error message.';
comment on column postrider.refused.tries is 'How often the row was refused on its own.';
comment on column postrider.refused.since is 'When the row was refused first.';
comment on column postrider.refused.retry_at is 'The next try comes no earlier.';
grant select, insert, update, delete on postrider.refused to postrider_dispatcher;
