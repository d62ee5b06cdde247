-- One row for the installation as a whole. It is written by save_watermark, when every event below a transaction is routed, by
-- note_restore, when the rows came from another cluster, and by what says where the installation is at home: require_home (the
-- first dispatcher), adopt and expect_move.
create table postrider.installation (
    only_row            boolean     primary key default true check (only_row),
    code                text        not null default left(replace(gen_random_uuid()::text, '-', ''), 10),
    endpoint_version    bigint      not null default 1,
    routed_below        xid8        not null default '0',
    endpoints_max       integer     not null default 100000 check (endpoints_max between 1 and 10000000),
    server              text,
    restored_at         timestamptz,
    restored_until      xid8        not null default '0',
    home_database       oid,
    name                text        check (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$'),
    move_expected_until timestamptz
);
comment on table postrider.installation is 'One row of facts about this installation as a whole. Private: may change in any release.';
comment on column postrider.installation.only_row is 'Always true, so that there is one row.';
comment on column postrider.installation.code is 'Random part of every webhook-id, so that two databases never send the same one.';
comment on column postrider.installation.endpoint_version is
    'Number of endpoint changes whose rows in endpoint_change are gone. postrider.endpoint_version has the sum.';
comment on column postrider.installation.routed_below is
    'The watermark: every event inserted by a transaction with a lower id is routed. The sweep at start begins here.';
comment on column postrider.installation.endpoints_max is
    'Most endpoints that may exist; 1 to 10,000,000. Its owner may change it with an UPDATE.';
comment on column postrider.installation.server is
    'The cluster whose transactions routed_below counts, and where the installation is at home (postrider.server_identity).';
comment on column postrider.installation.restored_at is 'When a dispatcher noticed that the rows came from another cluster.';
comment on column postrider.installation.restored_until is
    'The highest transaction of an event when restored_at was set. Up to it, events of another cluster stand among ours. 0: there was '
    'no event.';
comment on column postrider.installation.home_database is
    'The database of that cluster where the installation is at home. Dispatchers send nothing in another one. Null: no dispatcher has '
    'been here.';
comment on column postrider.installation.name is
    'What dispatchers must be told by --installation. A physical copy carries all other marks, and this one is compared with what the '
    'dispatcher was told. Null: dispatchers must be told nothing.';
comment on column postrider.installation.move_expected_until is
    'Until then a dispatcher that was told the right name makes another database the home (postrider.expect_move).';
-- The migrator's own tables.
grant select on postrider.schema_history, postrider.schema_object to postrider_dispatcher;
grant select, update on postrider.installation to postrider_dispatcher;

insert into postrider.installation (server) values (postrider.server_identity());
