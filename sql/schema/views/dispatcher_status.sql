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
comment on view postrider.dispatcher_status is 'One row per dispatcher that runs, or died without its claims being taken back yet.';
comment on column postrider.dispatcher_status.dispatcher_id is 'New at every start.';
comment on column postrider.dispatcher_status.host is 'Host name and process id.';
comment on column postrider.dispatcher_status.version is 'Postrider version.';
comment on column postrider.dispatcher_status.started_at is 'When it registered.';
comment on column postrider.dispatcher_status.lease_until is 'Alive until then at least; in the past: dead or cut off.';
comment on column postrider.dispatcher_status.is_leader is 'One dispatcher leads: inserts wake it, and it wakes the others. Any of them takes over.';
comment on column postrider.dispatcher_status.wake_mode is 'notify: woken by LISTEN/NOTIFY; poll: looks at every poll interval.';
comment on column postrider.dispatcher_status.wake_reason is 'Why it polls; null if it is woken.';
revoke all on postrider.dispatcher_status from public;
grant select on postrider.dispatcher_status to postrider_reader, postrider_dispatcher;
