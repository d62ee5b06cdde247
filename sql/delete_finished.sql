-- does:   deletes old finished events with their deliveries and attempts, among the next few in order of id
-- params: $1 after_id bigint (0: from the first), $2 scan_max bigint 1..=10000, $3 retain_complete_ms bigint,
--         $4 retain_failed_ms bigint
-- rows:   one: scanned bigint, deleted bigint, last_id bigint (null: none scanned), is_young boolean (the last one scanned
--         is too young to be deleted: so is what follows)
-- locks:  for update on the events it deletes, skipping locked ones; their deliveries and attempts
-- repeat: goes on with what is left
with scanned as materialized (
    select o.id, o.status, o.created_at, o.completed_at
    from postrider.outbox as o
    where o.id > $1
    order by o.id
    limit $2
), old as materialized (
    select o.id
    from scanned as s
    join postrider.outbox as o on o.id = s.id
    where (o.status = 'complete' and o.completed_at < now() - $3::bigint * interval '1 millisecond')
       or (o.status = 'failed' and o.completed_at < now() - $4::bigint * interval '1 millisecond')
    for update of o skip locked
), deliveries as (
    delete from postrider.delivery as d using old where d.event_id = old.id returning d.id
), attempts as (
    delete from postrider.attempt as a using deliveries as d where a.delivery_id = d.id
), events as (
    delete from postrider.outbox as o using old where o.id = old.id
)
select (select count(*) from scanned) as scanned,
       (select count(*) from old) as deleted,
       last.id as last_id,
       coalesce(last.created_at > now() - least($3, $4) * interval '1 millisecond', false) as is_young
from (select) as one
left join lateral (select max(s.id) as id, max(s.created_at) as created_at from scanned as s) as last on true
