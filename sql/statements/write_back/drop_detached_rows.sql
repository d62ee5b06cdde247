-- does:   drops entries of tables that are not attached any more, or want no status any more
-- params: $1 rows_max bigint 1..=10000
-- rows:   one: dropped bigint; the attachments are found by one index descent each, served by row_due_by_time
-- locks:  for update on the entries, skipping locked ones
-- repeat: goes on with the rest
with recursive noted as (
    (select d.attachment_no from postrider.row_due as d order by d.attachment_no limit 1)
    union all
    select next.attachment_no
    from noted as n
    cross join lateral (
        select d.attachment_no from postrider.row_due as d
        where d.attachment_no > n.attachment_no
        order by d.attachment_no
        limit 1) as next
), entry as materialized (
    select d.id
    from noted as n
    join postrider.row_due as d on d.attachment_no = n.attachment_no
    where not exists (select from postrider.attachment as a where a.attachment_no = n.attachment_no and a.write_back <> 'none')
    limit $1::bigint
    for update of d skip locked
), dropped as (
    delete from postrider.row_due as d using entry as e where d.id = e.id returning d.id
)
select count(*) as dropped from dropped
