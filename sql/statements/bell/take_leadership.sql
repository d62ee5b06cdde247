-- does:   tries to become the dispatcher that arms the bell
-- params: none
-- rows:   one: taken boolean
-- locks:  a session advisory lock; never waits
-- repeat: taken twice, which one release does not undo: asked only while not the leader
select pg_try_advisory_lock(postrider.leader_key()) as taken
