-- does:   notifies the probe channel that all dispatchers listen on, so that one of them learns whether notifications come
--         back. Also reads how full the server's notification queue is.
-- params: $1 payload text: names the dispatcher that asks
-- rows:   one: queue_usage float8, 0..=1
-- locks:  the lock of all notifying commits, at commit
-- repeat: notifies again
select pg_notification_queue_usage() as queue_usage, pg_notify('postrider_probe', $1)
