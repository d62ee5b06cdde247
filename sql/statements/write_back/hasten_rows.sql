-- does:   makes rows due at once whose status could not be written: it can be now, of one of them
-- params: $1 attachment_no int; $2 rows_max bigint 1..=1000
-- rows:   one: hastened bigint
-- locks:  for update on the entries, skipping locked ones
-- repeat: goes on with the rest
with entry as materialized (
    select d.id
    from postrider.row_due as d
    where d.attachment_no = $1::int and d.due_at > (select clock_timestamp()) and d.tries > 0
    order by d.attachment_no, d.due_at, d.id
    limit $2::bigint
    for update skip locked
), hastened as (
    update postrider.row_due as d
    set due_at = clock_timestamp()
    from entry as e
    where d.id = e.id
    returning d.id
)
select count(*) as hastened from hastened
