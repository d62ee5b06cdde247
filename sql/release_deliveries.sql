-- does:   gives claimed deliveries back: pending and due at once
-- params: $1 delivery_ids bigint[], $2 claim_ids bigint[], $3 begun boolean[] (false: no request was made, the attempt
--         does not count): one entry per delivery; $4 claim_ids bigint[]: claims this finishes
-- rows:   delivery_id of what was given back; a delivery whose claim was lost has no row
-- locks:  the deliveries in order of id; waits for a settle or a cancel of the same ones
-- repeat: no rows: the claim is gone
with released as (
    update postrider.delivery as d
    set status = 'pending',
        claim_id = null,
        due_at = clock_timestamp(),
        attempts = case when r.begun then d.attempts else greatest(d.attempts - 1, 0) end
    from (select u.delivery_id, u.claim_id, u.begun
          from unnest($1::bigint[], $2::bigint[], $3::boolean[]) as u (delivery_id, claim_id, begun)
          order by u.delivery_id) as r
    where d.id = r.delivery_id
      and d.claim_id = r.claim_id
    returning d.id
), done as (
    delete from postrider.claim as c where c.id = any ($4::bigint[])
)
select r.id as delivery_id from released as r
