-- does:   wakes the dispatchers
-- params: none
-- rows:   none of use
-- locks:  the lock of all notifying commits, at commit
-- repeat: wakes them again
select pg_notify('postrider', '')
