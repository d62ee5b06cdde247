-- does:   removes a dispatcher that stops ($1), or every dead one that holds no claim ($1 null)
-- params: $1 dispatcher_id bigint or null
-- rows:   none
-- locks:  the rows removed, skipping locked ones
-- repeat: changes nothing
with gone as materialized (
    select d.id
    from postrider.dispatcher as d
    where (d.id = $1::bigint or ($1::bigint is null and d.lease_until < clock_timestamp()))
      and not exists (select from postrider.claim as c where c.dispatcher_id = d.id)
    for update of d skip locked
)
delete from postrider.dispatcher as d using gone where d.id = gone.id
