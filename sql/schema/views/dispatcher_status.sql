create or replace view postrider.dispatcher_status as
select d.id as dispatcher_id,
       d.host,
       d.version,
       d.started_at,
       d.lease_until,
       d.is_leader and d.lease_until > clock_timestamp() as is_leader,
       d.wake_mode,
       d.wake_reason,
       d.last_seen_at,
       -- A dispatcher renews its lease six times in its length. One renewal may come late.
       case when d.lease_until <= clock_timestamp() then 'gone'
            when d.last_seen_at < clock_timestamp() - greatest((d.lease_until - d.last_seen_at) / 4, interval '2 seconds') then 'silent'
            else 'live' end as state
from postrider.dispatcher as d;
comment on view postrider.dispatcher_status is 'One row per dispatcher that runs. A dead dispatcher stays until its claims are taken back; its state tells.';
comment on column postrider.dispatcher_status.dispatcher_id is 'Dispatcher id, new at every start.';
comment on column postrider.dispatcher_status.host is 'Host name and process id.';
comment on column postrider.dispatcher_status.version is 'Postrider version.';
comment on column postrider.dispatcher_status.started_at is 'When the dispatcher registered.';
comment on column postrider.dispatcher_status.lease_until is
    'End of the lease. A time in the past means that the dispatcher is dead or cut off.';
comment on column postrider.dispatcher_status.is_leader is
    'Whether this dispatcher leads. Inserts wake the leader, and the leader wakes the others. Any dispatcher can take over.';
comment on column postrider.dispatcher_status.wake_mode is
    'notify: LISTEN/NOTIFY wakes the dispatcher; poll: it looks at every poll interval; sleep: the same, and it leaves the database alone '
    'in between while it is idle.';
comment on column postrider.dispatcher_status.wake_reason is 'Why the dispatcher polls; null with notify and sleep.';
comment on column postrider.dispatcher_status.last_seen_at is 'When the dispatcher last renewed its lease: six times in its length.';
comment on column postrider.dispatcher_status.state is
    'live; silent: a renewal of the lease is missing, so the dispatcher died, is cut off or stands still; gone: its lease has ended, and '
    'others take its deliveries.';
revoke all on postrider.dispatcher_status from public;
grant select on postrider.dispatcher_status to postrider_reader, postrider_dispatcher;
