-- does:   disarms the bell: from now on producers need not ring
-- params: none
-- rows:   one: disarmed boolean
-- locks:  gives back the session advisory lock
-- repeat: returns false
select pg_advisory_unlock(postrider.bell_key()) as disarmed
