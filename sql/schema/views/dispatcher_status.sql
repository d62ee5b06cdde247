create or replace view postrider.dispatcher_status as
select d.id as dispatcher_id,
       d.host,
       d.version,
       d.started_at,
       d.lease_until,
       d.is_leader and d.lease_until > clock_timestamp() as is_leader,
       d.wake_mode,
       d.wake_reason
from postrider.dispatcher as d;
comment on view postrider.dispatcher_status is 'One row per dispatcher that runs. A dead dispatcher stays until its claims are taken back.';
comment on column postrider.dispatcher_status.dispatcher_id is 'Dispatcher id, new at every start.';
comment on column postrider.dispatcher_status.host is 'Host name and process id.';
comment on column postrider.dispatcher_status.version is 'Postrider version.';
comment on column postrider.dispatcher_status.started_at is 'When the dispatcher registered.';
comment on column postrider.dispatcher_status.lease_until is
    'End of the lease. A time in the past means that the dispatcher is dead or cut off.';
comment on column postrider.dispatcher_status.is_leader is
    'Whether this dispatcher leads. Inserts wake the leader, and the leader wakes the others. Any dispatcher can take over.';
comment on column postrider.dispatcher_status.wake_mode is
    'notify: LISTEN/NOTIFY wakes the dispatcher; poll: it looks at every poll interval.';
comment on column postrider.dispatcher_status.wake_reason is 'Why the dispatcher polls; null with notify.';
revoke all on postrider.dispatcher_status from public;
grant select on postrider.dispatcher_status to postrider_reader, postrider_dispatcher;
