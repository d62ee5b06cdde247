-- does:   gives back what a dispatcher holds without knowing it: the answer to its claim was lost
-- params: $1 dispatcher_id bigint, $2 known_claim_ids bigint[]
-- rows:   one: released bigint
-- locks:  the claims, then the deliveries in order of id; must not run beside a claim of the same dispatcher
-- repeat: nothing is left to give back
with strays as (
    delete from postrider.claim as c
    where c.dispatcher_id = $1 and c.id <> all ($2::bigint[])
    returning c.id, c.delivery_ids
), released as (
    update postrider.delivery as d
    set status = 'pending', claim_id = null, due_at = clock_timestamp()
    from (select s.id as claim_id, held.id
          from strays as s
          cross join lateral unnest(s.delivery_ids) as held (id)
          order by held.id) as held
    where d.id = held.id and d.claim_id = held.claim_id
    returning d.id
)
select count(*) as released from released
