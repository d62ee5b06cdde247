-- does:   tries to become the dispatcher that arms the bell
-- params: none
-- rows:   one: taken boolean
-- locks:  a session advisory lock; never waits
-- repeat: the lock is taken twice, and one release does not undo that. So a dispatcher asks only while it does not lead.
select pg_try_advisory_lock(postrider.leader_key()) as taken
