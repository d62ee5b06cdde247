-- Running dispatchers, and the batches that they hold.
create table postrider.dispatcher (
    id            bigint      generated always as identity primary key,
    host          text        not null,
    version       text        not null,
    started_at    timestamptz not null default now(),
    lease_until   timestamptz not null,
    is_leader     boolean     not null default false,
    wake_mode     text        not null check (wake_mode in ('notify', 'poll', 'sleep')),
    wake_reason   text,
    only_endpoint text,
    last_seen_at  timestamptz not null default clock_timestamp()
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
comment on table postrider.dispatcher is
    'One row per running dispatcher. Its lease covers all its claims. Private; read postrider.dispatcher_status.';
comment on column postrider.dispatcher.id is 'New at every start, and after a lost lease.';
comment on column postrider.dispatcher.host is 'Host name and process id.';
comment on column postrider.dispatcher.version is 'Postrider version.';
comment on column postrider.dispatcher.started_at is 'When the dispatcher registered.';
comment on column postrider.dispatcher.lease_until is
    'End of the lease. A live dispatcher renews it in time; afterwards any dispatcher may take the claims back.';
comment on column postrider.dispatcher.is_leader is 'Whether this dispatcher arms the bell.';
comment on column postrider.dispatcher.wake_mode is
    'notify: LISTEN/NOTIFY wakes the dispatcher; poll: it looks at every poll interval; sleep: the same, and it leaves the database alone '
    'in between while it is idle.';
comment on column postrider.dispatcher.wake_reason is 'Why the dispatcher polls.';
comment on column postrider.dispatcher.only_endpoint is 'The one endpoint that it serves (postrider dev); null: all of them.';
comment on column postrider.dispatcher.last_seen_at is 'When the dispatcher last renewed its lease.';
grant select, insert, update, delete on postrider.dispatcher to postrider_dispatcher;

create table postrider.claim (
    id            bigint   generated always as identity primary key,
    dispatcher_id bigint   not null references postrider.dispatcher (id),
    delivery_ids  bigint[] not null check (cardinality(delivery_ids) between 1 and 10000)
) with (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
    -- A claim's list lives for milliseconds. Compressing it would cost more than the bytes it saves.
    toast_tuple_target = 8160
);
comment on table postrider.claim is
    'A batch of deliveries that a dispatcher may attempt while its lease lasts. The row is the fencing token, and the list for a '
    'rescue. It is deleted when the last delivery is settled. Private.';
comment on column postrider.claim.id is 'The token that every write of an outcome must name.';
comment on column postrider.claim.dispatcher_id is 'The dispatcher that holds the claim.';
comment on column postrider.claim.delivery_ids is 'The deliveries that were claimed together.';
create index claim_by_dispatcher on postrider.claim (dispatcher_id);
grant select, insert, update, delete on postrider.claim to postrider_dispatcher;
grant usage on sequence postrider.claim_id_seq to postrider_dispatcher;
