-- does:   takes deliveries back from dispatchers whose lease ended. They are pending and due at once; in a lane they are not due,
--         until the lane is opened.
-- params: $1 claims_max bigint 1..=1000: the most claims per call; $2 after_claim_id bigint: only claims with a higher id; $3
--         delivery_ids bigint[]: only these (null: all)
-- rows:   one: rescued bigint (deliveries), claims bigint (if it equals claims_max, call again with last_claim_id),
--         last_claim_id bigint (null if there was no claim)
-- locks:  for update on dead dispatchers, their claims and the deliveries, skipping locked ones; never waits
-- repeat: takes back deliveries that were locked or refused before
with dead as materialized (
    select d.id
    from postrider.dispatcher as d
    where d.lease_until < clock_timestamp()
    for update skip locked
), claims as materialized (
    select c.id, c.delivery_ids
    from (select mine.id, mine.delivery_ids
          from dead
          cross join lateral (
              select c.id, c.delivery_ids
              from postrider.claim as c
              where c.dispatcher_id = dead.id and c.id > $2::bigint
              order by c.id
              limit $1::bigint
              for update skip locked) as mine) as c
    order by c.id
    limit $1
), held as materialized (
    select c.id as claim_id, d.id
    from claims as c
    cross join lateral unnest(c.delivery_ids) as held (id)
    join postrider.delivery as d on d.id = held.id and d.claim_id = c.id
), free as materialized (
    select d.id, h.claim_id
    from held as h
    join postrider.delivery as d on d.id = h.id
    where ($3::bigint[] is null or h.id = any ($3))
      and not exists (select from postrider.refused as r
                      where r.stage = 'give_back' and r.id = h.id and r.retry_at > clock_timestamp())
    for update of d skip locked
), rescued as (
    update postrider.delivery as d
    set status = 'pending', claim_id = null, due_at = case when d.lane is null then clock_timestamp() end
    from free as f
    where d.id = f.id and d.claim_id = f.claim_id
    returning d.id
), done as (
    delete from postrider.claim as c
    using claims
    where c.id = claims.id
      and not exists (select from held as h
                      where h.claim_id = c.id and not exists (select from free as f where f.id = h.id))
)
select (select count(*) from rescued) as rescued,
       (select count(*) from claims) as claims,
       (select max(c.id) from claims as c) as last_claim_id
