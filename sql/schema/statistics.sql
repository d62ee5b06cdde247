-- Counts of finished deliveries. Each settled batch leaves one row per endpoint, and these rows are aggregated by the hour. There are
-- no foreign keys, for the reason that circuit.sql gives.
create table postrider.endpoint_stat (
    endpoint_no     integer     not null,
    at              timestamptz not null default clock_timestamp(),
    complete        integer     not null,
    failed          integer     not null,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    failed_attempts integer     not null default 0
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
-- It has no key. Where somebody publishes all tables, PostgreSQL deletes only from tables whose rows it can tell apart.
alter table postrider.endpoint_stat replica identity full;
comment on table postrider.endpoint_stat is
    'Counts of one settled batch for one endpoint, until they are aggregated by the hour. The table is append-only, so that no two '
    'batches compete for a row. Private.';
comment on column postrider.endpoint_stat.endpoint_no is 'The endpoint.';
comment on column postrider.endpoint_stat.at is 'When the batch was settled.';
comment on column postrider.endpoint_stat.complete is 'Deliveries completed.';
comment on column postrider.endpoint_stat.failed is 'Deliveries given up.';
comment on column postrider.endpoint_stat.last_success_at is 'When the last successful request of the batch began.';
comment on column postrider.endpoint_stat.last_failure_at is 'When the last failed request of the batch began.';
comment on column postrider.endpoint_stat.failed_attempts is 'Attempts that failed, whether they are tried again or not.';
grant select, insert, update, delete on postrider.endpoint_stat to postrider_dispatcher;

create table postrider.endpoint_stat_hourly (
    endpoint_no     integer     not null,
    hour            timestamptz not null,
    complete        bigint      not null,
    failed          bigint      not null,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    failed_attempts bigint      not null default 0,
    primary key (endpoint_no, hour)
) with (fillfactor = 50);
comment on table postrider.endpoint_stat_hourly is
    'Deliveries finished per endpoint and hour, for a day. One row with hour -infinity sums up everything before. Private.';
comment on column postrider.endpoint_stat_hourly.endpoint_no is 'The endpoint.';
comment on column postrider.endpoint_stat_hourly.hour is 'Beginning of the hour; -infinity: everything older than a day.';
comment on column postrider.endpoint_stat_hourly.complete is 'Deliveries completed.';
comment on column postrider.endpoint_stat_hourly.failed is 'Deliveries given up.';
comment on column postrider.endpoint_stat_hourly.last_success_at is 'When the last successful request began.';
comment on column postrider.endpoint_stat_hourly.last_failure_at is 'When the last failed request began.';
comment on column postrider.endpoint_stat_hourly.failed_attempts is 'Attempts that failed, whether they are tried again or not.';
grant select, insert, update, delete on postrider.endpoint_stat_hourly to postrider_dispatcher;

-- Events that no endpoint got. Each routed batch that has such events leaves one row, and maintenance makes one row of those of an
-- hour.
create table postrider.reached_nobody (
    hour        timestamptz not null,
    destination bigint      not null,
    topic       bigint      not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
-- It has no key, and a publication of all tables still lets rows be deleted.
alter table postrider.reached_nobody replica identity full;
comment on table postrider.reached_nobody is
    'How many events no endpoint got, of the last day; several rows may have one hour. The table is append-only, so that no two batches '
    'compete for a row. Private; read postrider.backlog.';
comment on column postrider.reached_nobody.hour is 'Beginning of the hour in which the events were routed.';
comment on column postrider.reached_nobody.destination is 'Events whose destination did not exist.';
comment on column postrider.reached_nobody.topic is 'Events whose topic no endpoint subscribed to.';
grant select, insert, update, delete on postrider.reached_nobody to postrider_dispatcher;
