-- does:   takes back what dispatchers hold whose lease ended: pending and due at once
-- params: $1 claims_max bigint 1..=1000: how many claims in one go
-- rows:   one: rescued bigint (deliveries), claims bigint (as many as claims_max: go again)
-- locks:  for update on dead dispatchers and their claims, skipping locked ones; the deliveries in order of
--         id, may wait for a cancel of the same ones
-- repeat: nothing is left to take back
with dead as materialized (
    select d.id
    from postrider.dispatcher as d
    where d.lease_until < clock_timestamp()
    for update skip locked
), claims as materialized (
    select c.id, c.delivery_ids
    from dead
    cross join lateral (
        select c.id, c.delivery_ids
        from postrider.claim as c
        where c.dispatcher_id = dead.id
        limit $1
        for update skip locked) as c
    limit $1
), rescued as (
    update postrider.delivery as d
    set status = 'pending', claim_id = null, due_at = clock_timestamp()
    from (select c.id as claim_id, held.id
          from claims as c
          cross join lateral unnest(c.delivery_ids) as held (id)
          order by held.id) as held
    where d.id = held.id and d.claim_id = held.claim_id
    returning d.id
), done as (
    delete from postrider.claim as c using claims where c.id = claims.id
)
select (select count(*) from rescued) as rescued, (select count(*) from claims) as claims
