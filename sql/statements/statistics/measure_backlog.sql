-- does:   measures the remaining work (postrider.backlog)
-- params: none
-- rows:   one: unrouted, pending, in_progress, failed bigint; oldest_unrouted_age_ms bigint; oldest_due_age_ms bigint: of the
--         most overdue delivery (postrider.overdue); ages are 0 if there is no such row; open_circuits bigint, of enabled
--         endpoints, half open ones included; held_endpoints bigint: enabled endpoints that asked to be left alone for a while;
--         set_aside bigint: events and deliveries that the database refused and that are tried again later
-- locks:  none
-- repeat: measures again
select b.unrouted, b.pending, b.in_progress, b.failed,
       coalesce(greatest(extract(epoch from clock_timestamp() - b.oldest_unrouted_at) * 1000, 0), 0)::bigint
           as oldest_unrouted_age_ms,
       coalesce(greatest(extract(epoch from clock_timestamp() - b.oldest_due_at) * 1000, 0), 0)::bigint
           as oldest_due_age_ms,
       (select count(*) from postrider.circuit as c
        join postrider.endpoint as e on e.endpoint_no = c.endpoint_no and e.state = 'enabled'
        where c.state <> 'closed') as open_circuits,
       (select count(*) from postrider.circuit as c
        join postrider.endpoint as e on e.endpoint_no = c.endpoint_no and e.state = 'enabled'
        where c.held_until > clock_timestamp()) as held_endpoints,
       (select count(*) from postrider.refused) as set_aside
from postrider.backlog as b
