-- does:   tries to arm the bell: refused while a producer that did not ring is in flight
-- params: none
-- rows:   one: armed boolean
-- locks:  a session advisory lock; never waits
-- repeat: armed twice: asked only while disarmed
select pg_try_advisory_lock(postrider.bell_key()) as armed
