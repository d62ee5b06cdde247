-- does:   finds claims that a dispatcher holds without knowing it, because the reply to the claim was lost
-- params: $1 dispatcher_id bigint, $2 known_claim_ids bigint[], $3 claims_max bigint 1..=1000
-- rows:   claim_id, delivery_id (null if the claim holds it no longer), is_refused boolean (the database refused it, and it is
--         not due for another try); of at most claims_max claims
-- locks:  the claims, for a moment, skipping locked ones; never waits; must not run beside a claim of the same dispatcher
-- repeat: the same
select s.id as claim_id,
       d.id as delivery_id,
       exists (select from postrider.refused as r
               where r.stage = 'give_back' and r.id = d.id and r.retry_at > clock_timestamp()) as is_refused
from (select c.id, c.delivery_ids
      from postrider.claim as c
      where c.dispatcher_id = $1 and c.id <> all ($2::bigint[])
      limit $3::bigint
      -- A standby refuses this, like all work of a dispatcher.
      for update skip locked) as s
cross join lateral unnest(s.delivery_ids) as held (id)
left join postrider.delivery as d on d.id = held.id and d.claim_id = s.id
