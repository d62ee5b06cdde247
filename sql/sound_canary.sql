-- does:   notifies all listening dispatchers' canary channel, to prove to one of them that notifications come back
-- params: $1 payload text: whose canary it is
-- rows:   none of use
-- locks:  the lock of all notifying commits, at commit
-- repeat: notifies again
select pg_notify('postrider_canary', $1)
