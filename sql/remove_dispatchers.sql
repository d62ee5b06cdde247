-- does:   removes a dispatcher that stops ($1), or every dead one that holds nothing any more ($1 null)
-- params: $1 dispatcher_id bigint or null
-- rows:   none
-- locks:  the rows removed
-- repeat: changes nothing
delete from postrider.dispatcher as d
where (d.id = $1::bigint or ($1::bigint is null and d.lease_until < clock_timestamp()))
  and not exists (select from postrider.claim as c where c.dispatcher_id = d.id)
