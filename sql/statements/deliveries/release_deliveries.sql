-- does:   gives claimed deliveries back. They are pending and due at once; in a lane they are not due, until the lane is opened.
-- params: $1 delivery_ids bigint[], $2 claim_ids bigint[], $3 begun boolean[] (false: no request was made, so the attempt does
--         not count): one entry per delivery; $4 claim_ids bigint[]: claims that are finished with this call
-- rows:   delivery_id, is_held_up boolean (somebody has locked the delivery, so it stays claimed); a delivery whose claim was
--         lost has no row
-- locks:  the deliveries, skipping locked ones; never waits
-- repeat: no rows, because the claims are gone
with given as materialized (
    select u.delivery_id, u.claim_id, u.begun
    from unnest($1::bigint[], $2::bigint[], $3::boolean[]) as u (delivery_id, claim_id, begun)
), free as materialized (
    select d.id, g.claim_id, g.begun
    from given as g
    join postrider.delivery as d on d.id = g.delivery_id and d.claim_id = g.claim_id
    for update of d skip locked
), held_up as materialized (
    select d.id, d.claim_id
    from given as g
    join postrider.delivery as d on d.id = g.delivery_id and d.claim_id = g.claim_id
    where not exists (select from free as f where f.id = d.id)
), released as (
    update postrider.delivery as d
    set status = 'pending',
        claim_id = null,
        due_at = case when d.lane is null then clock_timestamp() end,
        attempts = case when f.begun then d.attempts else greatest(d.attempts - 1, 0) end
    from free as f
    where d.id = f.id
      and d.claim_id = f.claim_id
    returning d.id
), done as (
    -- A claim that somebody has locked stays. find_orphaned_claims finds it empty later.
    delete from postrider.claim as c
    where c.id in (select f.id from postrider.claim as f where f.id = any ($4::bigint[]) for update skip locked)
      and c.id not in (select h.claim_id from held_up as h)
)
select r.id as delivery_id, false as is_held_up from released as r
union all
select h.id, true from held_up as h
