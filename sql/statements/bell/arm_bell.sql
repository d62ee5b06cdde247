-- does:   tries to arm the bell. PostgreSQL refuses while a producer that did not ring is in flight.
-- params: none
-- rows:   one: armed boolean
-- locks:  a session advisory lock; never waits
-- repeat: the lock is taken twice, so callers ask only while the bell is disarmed
select pg_try_advisory_lock(postrider.bell_key()) as armed
