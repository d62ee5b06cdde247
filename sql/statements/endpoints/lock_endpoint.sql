-- does:   makes sure that nobody else creates or replaces an endpoint of that id (the lock of postrider.write_endpoint)
-- params: $1 id text
-- rows:   one of no use
-- locks:  the endpoint's id, until the transaction ends; waits
-- repeat: the same
select pg_advisory_xact_lock(hashtextextended('postrider.endpoint.' || $1::text, 0))
