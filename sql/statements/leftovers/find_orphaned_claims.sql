-- does:   finds claims that a dispatcher holds without knowing it, because the answer to the claim was lost
-- params: $1 dispatcher_id bigint, $2 known_claim_ids bigint[], $3 claims_max bigint 1..=1000
-- rows:   claim_id, delivery_id (null: not held any more), is_refused boolean (it was refused alone, and is not to be tried
--         yet); of at most claims_max claims
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
      -- On a standby this is refused, as every work of a dispatcher is.
      for update skip locked) as s
cross join lateral unnest(s.delivery_ids) as held (id)
left join postrider.delivery as d on d.id = held.id and d.claim_id = s.id
