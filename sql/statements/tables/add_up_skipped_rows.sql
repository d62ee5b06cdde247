-- does:   adds what triggers noted about skipped rows of attached tables to the attachments, and empties the notes
-- params: none
-- rows:   relation text, skipped bigint, reason text: one per attached table; reason is the SQLSTATE that was noted last
-- locks:  10,000 notes, skipping locked ones; then for update on their attachments, in order of their number
-- repeat: goes on with the next notes
with noted as materialized (
    delete from postrider.row_skipped as s
    where s.id in (select r.id from postrider.row_skipped as r order by r.id limit 10000 for update skip locked)
    returning s.id, s.attachment_no, s.row_count, s.reason, s.skipped_at
), summed as materialized (
    select n.attachment_no, sum(n.row_count)::bigint as skipped, (array_agg(n.reason order by n.id desc))[1] as reason,
           max(n.skipped_at) as skipped_at
    from noted as n
    group by n.attachment_no
), locked as materialized (
    select a.attachment_no
    from postrider.attachment as a
    where a.attachment_no in (select s.attachment_no from summed as s)
    order by a.attachment_no
    for update
)
update postrider.attachment as a
set rows_skipped = a.rows_skipped + s.skipped,
    last_error = pg_catalog.format('%s rows were skipped, SQLSTATE %s', s.skipped, s.reason),
    last_error_at = s.skipped_at
from summed as s
join locked as l on l.attachment_no = s.attachment_no
where a.attachment_no = s.attachment_no
returning a.relation::text as relation, s.skipped, s.reason
