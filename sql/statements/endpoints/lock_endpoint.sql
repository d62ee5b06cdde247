-- does:   keeps every other session from creating or replacing an endpoint of that id (takes the lock of
--         postrider.write_endpoint)
-- params: $1 id text
-- rows:   one, without a use
-- locks:  the endpoint's id, until the transaction ends; waits
-- repeat: the same
select pg_advisory_xact_lock(hashtextextended('postrider.endpoint.' || $1::text, 0))
