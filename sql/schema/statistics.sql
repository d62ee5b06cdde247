-- What endpoints did, counted: each settled batch leaves one row per endpoint, and these rows are summed up by the hour. No foreign
-- keys, for the reason that circuit.sql gives.
create table postrider.tally (
    endpoint_no     integer     not null,
    at              timestamptz not null default clock_timestamp(),
    complete        integer     not null,
    failed          integer     not null,
    last_success_at timestamptz,
    last_failure_at timestamptz
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
comment on table postrider.tally is 'What one settled batch did to one endpoint, until it is summed up by the hour. Append-only: no row is fought for. Private.';
comment on column postrider.tally.endpoint_no is 'The endpoint.';
comment on column postrider.tally.at is 'When it was settled.';
comment on column postrider.tally.complete is 'Deliveries completed.';
comment on column postrider.tally.failed is 'Deliveries given up.';
comment on column postrider.tally.last_success_at is 'When the last successful request of the batch began.';
comment on column postrider.tally.last_failure_at is 'When the last failed request of the batch began.';
grant select, insert, update, delete on postrider.tally to postrider_dispatcher;

create table postrider.hourly_tally (
    endpoint_no     integer     not null,
    hour            timestamptz not null,
    complete        bigint      not null,
    failed          bigint      not null,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    primary key (endpoint_no, hour)
) with (fillfactor = 50);
comment on table postrider.hourly_tally is 'Deliveries finished per endpoint and hour, a day back; -infinity: everything before. Private.';
comment on column postrider.hourly_tally.endpoint_no is 'The endpoint.';
comment on column postrider.hourly_tally.hour is 'Beginning of the hour; -infinity: everything that is older than a day.';
comment on column postrider.hourly_tally.complete is 'Deliveries completed.';
comment on column postrider.hourly_tally.failed is 'Deliveries given up.';
comment on column postrider.hourly_tally.last_success_at is 'When the last successful request began.';
comment on column postrider.hourly_tally.last_failure_at is 'When the last failed request began.';
grant select, insert, update, delete on postrider.hourly_tally to postrider_dispatcher;
