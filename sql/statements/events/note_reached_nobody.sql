-- does:   counts events that the transaction routes and that reach nobody
-- params: $1 unknown_destinations int, $2 unmatched int: their destination does not exist, or nobody subscribes to their topic
-- rows:   none
-- locks:  none
-- repeat: in the same transaction: counts them twice
insert into postrider.reached_nobody (hour, destination, topic)
values (date_trunc('hour', clock_timestamp()), $1::int, $2::int)
