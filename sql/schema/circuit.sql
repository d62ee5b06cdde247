-- The circuit breakers, and the endpoints that asked to be left alone. They have no foreign key to the endpoint, because an insert
-- would wait for a transaction that has locked the endpoint's row. forget_endpoints deletes orphaned rows instead.
create table postrider.circuit (
    endpoint_no     integer     primary key,
    state           text        not null default 'closed' check (state in (
        'closed',      -- deliveries are attempted
        'open',        -- too many attempts in a row got no answer: deliveries wait for probe_at
        'half_open')), -- a dispatcher probes it with one delivery
    failures        integer     not null check (failures >= 0),
    failed_probes   integer     not null default 0 check (failed_probes >= 0),
    failing_since   timestamptz,
    changed_at      timestamptz not null,
    probe_at        timestamptz,
    probe_by        bigint,
    failed_attempts bigint      not null default 0 check (failed_attempts >= 0),
    held_until      timestamptz,
    failed_at       timestamptz,
    retry_at        timestamptz,
    quiet           interval    not null default '0',
    constraint open_is_probed check ((state = 'closed') = (probe_at is null)),
    constraint half_open_has_a_prober check ((state = 'half_open') = (probe_by is not null))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0);
comment on table postrider.circuit is
    'The circuit breakers: one row per endpoint whose last attempt failed, so no rows while all is well. Failed attempts write it. The '
    'first success deletes the row, unless the endpoint is still held. Private; read postrider.endpoint_health.';
comment on column postrider.circuit.endpoint_no is 'The endpoint.';
comment on column postrider.circuit.state is 'closed, open or half_open.';
comment on column postrider.circuit.failures is
    'Attempts in a row that got no answer, a 5xx or 408; any other answer resets the count, also 429, and 503 with Retry-After.';
comment on column postrider.circuit.failed_probes is 'Probes that failed since the circuit opened. Each doubles the time to the next.';
comment on column postrider.circuit.failing_since is
    'When the first attempt after the last success began; null if the last attempt succeeded, and the endpoint is only held.';
comment on column postrider.circuit.changed_at is 'When the state last changed.';
comment on column postrider.circuit.probe_at is
    'Open: the next probe comes no earlier. Half open: until then only probe_by may probe, afterwards any dispatcher.';
comment on column postrider.circuit.probe_by is 'The dispatcher that probes.';
comment on column postrider.circuit.failed_attempts is 'Attempts that failed since the last success, whatever the answer.';
comment on column postrider.circuit.held_until is
    'Nothing is sent before, because the endpoint asked for that: Retry-After, or 429.';
comment on column postrider.circuit.failed_at is
    'When the last attempt ended that says something against the endpoint; null before the first since failing_since.';
comment on column postrider.circuit.retry_at is 'When the last of the deliveries that failed was due again.';
comment on column postrider.circuit.quiet is
    'The part of the time from failing_since to failed_at in which nothing was attempted. It does not disable the endpoint.';
grant select, insert, update, delete on postrider.circuit to postrider_dispatcher;
