-- The installation as a whole: one row. Written by the first dispatcher that finds every event below a transaction routed
-- (save_floor), and when the rows came from another cluster (note_restore).
create table postrider.installation (
    only_row         boolean primary key default true check (only_row),
    code             text    not null default left(replace(gen_random_uuid()::text, '-', ''), 10),
    endpoint_version bigint  not null default 1,
    routed_below     xid8    not null default '0',
    endpoints_max    integer not null default 100000 check (endpoints_max between 1 and 10000000),
    server           text,
    restored_at      timestamptz,
    restored_until   xid8    not null default '0'
);
comment on table postrider.installation is 'One row: what is true of this installation as a whole. Private: may change in any release.';
comment on column postrider.installation.only_row is 'Always true: there is one row.';
comment on column postrider.installation.code is 'Random part of every webhook-id, so that two databases never send the same one.';
comment on column postrider.installation.endpoint_version is
    'Changes of endpoints that have no row in endpoint_change any more; postrider.endpoint_version has the sum.';
comment on column postrider.installation.routed_below is 'Every event inserted by a transaction with a lower id is routed: where the sweep at start begins.';
comment on column postrider.installation.endpoints_max is 'So many endpoints may exist; 1 to 10,000,000. Its owner may change it with an UPDATE.';
comment on column postrider.installation.server is 'The cluster whose transactions routed_below counts: postrider.server_identity.';
comment on column postrider.installation.restored_at is 'When a dispatcher noticed that the rows were brought here from another cluster.';
comment on column postrider.installation.restored_until is
    'The highest transaction of an event at that time: up to there events of another cluster stand among ours. 0: there was none.';
-- The migrator's own tables.
grant select on postrider.schema_history, postrider.schema_object to postrider_dispatcher;
grant select, update on postrider.installation to postrider_dispatcher;

insert into postrider.installation (server) values (postrider.server_identity());
