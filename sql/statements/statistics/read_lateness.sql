-- does:   reads how late the oldest event and the most overdue delivery are, and what that delivery waits for. Also reads why the
--         database refuses rows.
-- params: none
-- rows:   one: unrouted_ms bigint or null: age of the oldest unrouted event; overdue_ms bigint or null: how long the most
--         overdue delivery has been due (postrider.overdue); endpoint_id text, waits_for text: of that delivery;
--         set_aside bigint: events and deliveries that the database refused; reason text: why it refused the first of them
--         (null if there is none)
-- locks:  none
-- repeat: the same
select (select (extract(epoch from clock_timestamp() - b.oldest_unrouted_at) * 1000)::bigint
        from postrider.backlog as b) as unrouted_ms,
       (extract(epoch from clock_timestamp() - worst.due_at) * 1000)::bigint as overdue_ms,
       worst.endpoint_id,
       (select s.waits_for from postrider.delivery_status as s where s.delivery_id = worst.delivery_id) as waits_for,
       (select count(*) from postrider.refused) as set_aside,
       (select r.reason from postrider.refused as r order by r.since limit 1) as reason
from (select) as one
left join (select o.endpoint_id, o.delivery_id, o.due_at
           from postrider.overdue as o
           order by o.due_at, o.delivery_id
           limit 1) as worst on true
