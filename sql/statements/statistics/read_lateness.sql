-- does:   reads how late the oldest event and the most overdue delivery are, apart from those that wait on purpose. Also reads
--         why the database refuses rows.
-- params: none
-- rows:   one: unrouted_ms bigint or null: age of the oldest unrouted event; overdue_ms bigint or null: how long the most
--         overdue delivery has been due, of enabled endpoints whose circuit is closed and which are not held (as measure_backlog.sql counts);
--         set_aside bigint: events and deliveries that the database refused; reason text: why it refused the first of them
--         (null if there is none)
-- locks:  none
-- repeat: the same
select (select (extract(epoch from clock_timestamp() - b.oldest_unrouted_at) * 1000)::bigint
        from postrider.backlog as b) as unrouted_ms,
       (select (extract(epoch from clock_timestamp() - min(first.due_at)) * 1000)::bigint
        from postrider.endpoint as e
        -- Index: delivery_due.
        cross join lateral (select d.due_at from postrider.delivery as d
                            where d.endpoint_no = e.endpoint_no and d.due_at is not null
                            order by d.due_at limit 1) as first
        where e.state = 'enabled'
          and not exists (select from postrider.circuit as c
                          where c.endpoint_no = e.endpoint_no and (c.state <> 'closed' or c.held_until > clock_timestamp()))
          and first.due_at <= clock_timestamp()) as overdue_ms,
       (select count(*) from postrider.refused) as set_aside,
       (select r.reason from postrider.refused as r order by r.since limit 1) as reason
