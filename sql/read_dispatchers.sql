-- does:   reads the dispatchers (postrider.dispatcher_status)
-- params: none
-- rows:   dispatcher_id bigint, host, version, started_at text, lease_until text, is_live boolean, is_leader boolean,
--         wake_mode, wake_reason; by id
-- locks:  none
-- repeat: the same
select d.dispatcher_id, d.host, d.version, d.started_at::text as started_at, d.lease_until::text as lease_until,
       d.lease_until > clock_timestamp() as is_live, d.is_leader, d.wake_mode, d.wake_reason
from postrider.dispatcher_status as d
order by d.dispatcher_id
