-- does:   notifies all listening dispatchers' canary channel, to prove to one of them that notifications come back, and reads
--         how full the server's notification queue is
-- params: $1 payload text: whose canary it is
-- rows:   one: queue_usage float8, 0..=1
-- locks:  the lock of all notifying commits, at commit
-- repeat: notifies again
select pg_notification_queue_usage() as queue_usage, pg_notify('postrider_canary', $1)
