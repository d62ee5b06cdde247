-- does:   reads the dispatchers (postrider.dispatcher_status)
-- params: none
-- rows:   row text: a JSON object of the columns below; by id
-- locks:  none
-- repeat: the same
select to_json(r)::text as row
from (select d.dispatcher_id as id, d.host, d.version, d.started_at, d.lease_until, d.last_seen_at, d.state,
             d.state = 'live' as is_live, d.is_leader, d.wake_mode, d.wake_reason
      from postrider.dispatcher_status as d
      order by d.dispatcher_id) as r
