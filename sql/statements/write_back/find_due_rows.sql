-- does:   finds attached tables with rows whose status is due to be written, and the first of these rows
-- params: $1 rows_max bigint 1..=1000: of each table; $2 but int[]: attachments that are left alone for now; $3 since_ms bigint or null:
--         entries that have been due for longer are passed over, and dead index entries of theirs with them (null: all)
-- rows:   attachment_no int, relation text (qualified and quoted), is_troubled boolean: the last write failed; ids bigint[]: entries that
--         are due, in order of due_at, at most $1 (empty if there are none); next_ms bigint: until the next entry is due, null if there is
--         none. One row for each table that has such entries, served by row_due_by_time, or is in trouble; and a row of nulls if no
--         table wants a status.
-- locks:  none
-- repeat: the same
with moment as materialized (
    select clock_timestamp() as now
), attached as materialized (
    select a.attachment_no, a.relation::text as relation, a.last_error is not null and a.last_error like 'status not written: %' as is_troubled
    from postrider.attachment as a
    where a.write_back <> 'none'
)
select a.attachment_no, a.relation, a.is_troubled, due.ids, next.next_ms
from moment as m
cross join attached as a
cross join lateral (
    select coalesce(array_agg(d.id order by d.due_at, d.id), '{}') as ids
    from (
        select d.id, d.due_at
        from postrider.row_due as d
        where d.attachment_no = a.attachment_no
          and d.due_at <= m.now
          and d.due_at > coalesce(m.now - $3::bigint * interval '1 millisecond', '-infinity')
        order by d.attachment_no, d.due_at, d.id
        limit $1::bigint) as d
) as due
left join lateral (
    select ceil(extract(epoch from least(d.due_at, m.now + interval '1 day') - m.now) * 1000)::bigint as next_ms
    from postrider.row_due as d
    where d.attachment_no = a.attachment_no and d.due_at > m.now
    order by d.attachment_no, d.due_at, d.id
    limit 1
) as next on true
where a.attachment_no <> all ($2::int[])
  and (cardinality(due.ids) > 0 or next.next_ms is not null or a.is_troubled)
union all
select null, null, null, null, null
where not exists (select from attached)
