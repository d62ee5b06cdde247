-- does:   brings back endpoints of templates that were forgotten while an event was routed to them (postrider.revive_children)
-- params: none
-- rows:   one: revived bigint
-- locks:  the endpoints and their waiting deliveries; waits for holders of the deliveries, at most lock_timeout
-- repeat: changes nothing
select postrider.revive_children() as revived
