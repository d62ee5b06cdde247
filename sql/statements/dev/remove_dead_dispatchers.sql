-- does:   removes dispatchers that served one endpoint alone and are dead, with their claims; their deliveries are pending again
-- params: $1 only_endpoint text
-- rows:   none
-- locks:  the deliveries, the claims and the dispatchers; waits for a rescue of them
-- repeat: changes nothing
with dead as materialized (
    select d.id from postrider.dispatcher as d where d.only_endpoint = $1
), held as materialized (
    select c.id, c.delivery_ids
    from dead
    join postrider.claim as c on c.dispatcher_id = dead.id
), freed as (
    update postrider.delivery as d
    set status = 'pending', claim_id = null,
        -- A dispatcher makes the first of each lane due.
        due_at = case when d.lane is null then clock_timestamp() end
    from held as h
    where d.id = any (h.delivery_ids) and d.claim_id = h.id
), claims as (
    delete from postrider.claim as c using held as h where c.id = h.id
)
delete from postrider.dispatcher as d using dead where d.id = dead.id
