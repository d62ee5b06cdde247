-- why: one row, one endpoint or one transaction of a stranger must not hold up the others.
--      The endpoints' version stood in one row, which every open put_endpoint held: each change now leaves a row of its own.
--      A large payload had to be decompressed to know its size: the size is now stored at the insert.
--      A row that the database refuses to write stopped its whole batch: such rows are now recorded and tried alone.
-- old code: goes on with a copy of the endpoints that is a few seconds older; a newer dispatcher must run beside it.

-- Each statement that changes endpoints adds one row, which nobody else waits for. The version of the endpoints in a snapshot
-- is the number of such rows that the snapshot shows, so it grows exactly when a change is committed.
create table postrider.endpoint_change (
    id bigint generated always as identity primary key
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
comment on table postrider.endpoint_change is
    'One row per change of the endpoints since the rows before were added to installation.endpoint_version. Private.';
comment on column postrider.endpoint_change.id is 'Private key.';
comment on column postrider.installation.endpoint_version is
    'Changes of endpoints that have no row in endpoint_change any more; postrider.endpoint_version has the sum.';

create view postrider.endpoint_version as
select i.endpoint_version + (select count(*) from postrider.endpoint_change) as version
from postrider.installation as i;
comment on view postrider.endpoint_version is
    'One row: the version of the endpoints in this snapshot. Two snapshots with one version show the same endpoints. Private.';
comment on column postrider.endpoint_version.version is 'Grows by one with every committed change.';

create or replace function postrider.endpoint_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into postrider.endpoint_change default values;
    perform pg_notify('postrider', '');
    return null;
end
$$;

alter table postrider.outbox add column payload_bytes integer;
comment on column postrider.outbox.payload_bytes is
    'Size of the payload as it is sent; null: less than 2000 bytes, or inserted before there was this column.';

-- The payload is in memory while it is inserted: only then its size costs nothing. It must never fail an INSERT.
-- Every name is qualified instead of pinning search_path, as in postrider.ring.
create function postrider.size_payload() returns trigger
language plpgsql as $$
begin
    new.payload_bytes := pg_catalog.octet_length(new.payload::pg_catalog.text);
    return new;
exception when others then
    return new;
end
$$;
comment on function postrider.size_payload() is 'Stores the size of a payload that is not small, or arrives compressed.';
revoke all on function postrider.size_payload() from public;

create trigger size_payload before insert on postrider.outbox
    for each row
    when (pg_catalog.pg_column_size(new.payload) operator(pg_catalog.>=) 2000
          or pg_catalog.pg_column_compression(new.payload) is not null)
    execute function postrider.size_payload();
-- Rows that logical replication brings are sized, too.
alter table postrider.outbox enable always trigger size_payload;
comment on trigger size_payload on postrider.outbox is 'Stores the size of a payload that is not small, or arrives compressed.';

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
    'One row per event or delivery that the database refused to write, alone, and that is tried again later. Private; read postrider.set_aside.';
comment on column postrider.refused.stage is 'Which step of its life was refused.';
comment on column postrider.refused.id is 'The event of route and delete; the delivery of the other stages.';
comment on column postrider.refused.reason is 'What the database said.';
comment on column postrider.refused.tries is 'How often it was refused alone.';
comment on column postrider.refused.since is 'When it was refused first.';
comment on column postrider.refused.retry_at is 'When it is tried again, not before.';

create view postrider.set_aside as
select r.stage,
       o.id as event_id,
       d.id as delivery_id,
       o.topic,
       e.id as endpoint_id,
       r.reason,
       r.tries,
       r.since,
       r.retry_at as next_try_at
from postrider.refused as r
left join postrider.delivery as d on r.stage not in ('route', 'delete') and d.id = r.id
left join postrider.outbox as o on o.id = case when r.stage in ('route', 'delete') then r.id else d.event_id end
left join postrider.endpoint as e on e.no = d.endpoint_no;
comment on view postrider.set_aside is
    'One row per event or delivery that the database refused to write: a trigger, a constraint or damaged data stands in the way. The others go on; this one is tried again at next_try_at.';
comment on column postrider.set_aside.stage is
    'What was refused: route (the event), claim, settle, give_back or give_up (the delivery), delete (the event, after its retention).';
comment on column postrider.set_aside.event_id is 'The event: postrider.outbox.id.';
comment on column postrider.set_aside.delivery_id is 'The delivery; null for an event.';
comment on column postrider.set_aside.topic is 'Event type.';
comment on column postrider.set_aside.endpoint_id is 'The endpoint of the delivery.';
comment on column postrider.set_aside.reason is 'What the database said.';
comment on column postrider.set_aside.tries is 'How often it was refused.';
comment on column postrider.set_aside.since is 'When it was refused first.';
comment on column postrider.set_aside.next_try_at is 'When it is tried again: after 5 s, 5 min, 30 min, 2 h and so on; at once when another one of the same reason gets through.';

create function postrider.retry_set_aside(stage text default null) returns bigint
language sql volatile set search_path = pg_catalog, pg_temp
begin atomic
    with hastened as (
        update postrider.refused as r
        set retry_at = clock_timestamp()
        where retry_set_aside.stage is null or r.stage = retry_set_aside.stage
        returning r.id
    ), rung as (
        select pg_notify('postrider', '') where exists (select from hastened)
    )
    select count(*) from hastened left join rung on true;
end;
comment on function postrider.retry_set_aside(text) is
    'Lets everything be tried again at once that was set aside (of one stage, or of all): to be called when what stood in the way is mended. Returns how many rows.';
revoke all on function postrider.retry_set_aside(text) from public;
grant execute on function postrider.retry_set_aside(text) to postrider_dispatcher;

revoke all on postrider.endpoint_change, postrider.endpoint_version, postrider.refused, postrider.set_aside from public;
grant select, delete on postrider.endpoint_change to postrider_dispatcher;
grant select on postrider.endpoint_version to postrider_dispatcher;
grant select, insert, update, delete on postrider.refused to postrider_dispatcher;
grant select on postrider.set_aside to postrider_reader, postrider_dispatcher;
grant select (payload_bytes) on postrider.outbox to postrider_reader;
