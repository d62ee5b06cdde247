-- does:   deletes records that are no longer needed. Their row is gone, or its state gives that stage nothing to do.
-- params: none
-- rows:   none
-- locks:  for update on the records, skipping locked ones
-- repeat: changes nothing
with past as materialized (
    select r.stage, r.id
    from postrider.refused as r
    where case
        when r.stage = 'route' then not exists (
            select from postrider.outbox as o where o.id = r.id and o.status = 'pending')
        when r.stage = 'delete' then not exists (
            select from postrider.outbox as o where o.id = r.id and o.status in ('complete', 'failed'))
        when r.stage in ('claim', 'give_up') then not exists (
            select from postrider.delivery as d where d.id = r.id and d.status = 'pending')
        else not exists (
            select from postrider.delivery as d where d.id = r.id and d.status = 'in_progress')
    end
    for update skip locked
)
delete from postrider.refused as r
using past as p
where r.stage = p.stage and r.id = p.id
