-- does:   finds the next claim of a dispatcher whose lease ended, and its deliveries
-- params: $1 after_claim_id bigint
-- rows:   claim_id, delivery_ids bigint[] (those that it still holds); at most one
-- locks:  none
-- repeat: the same
select c.id as claim_id,
       array(select d.id
             from unnest(c.delivery_ids) as held (id)
             join postrider.delivery as d on d.id = held.id and d.claim_id = c.id) as delivery_ids
from postrider.claim as c
join postrider.dispatcher as p on p.id = c.dispatcher_id and p.lease_until < clock_timestamp()
where c.id > $1::bigint
order by c.id
limit 1
