-- does:   shows no more that the status of rows of a table cannot be written, if it can be of all of them
-- params: $1 attachment_no int
-- rows:   one: is_cleared boolean
-- locks:  for update on the attachment, unless it is locked
-- repeat: changes nothing
with attached as materialized (
    select a.attachment_no
    from postrider.attachment as a
    where a.attachment_no = $1::int
      and a.last_error like 'status not written: %'
      and not exists (select from postrider.row_due as d where d.attachment_no = a.attachment_no and d.tries > 0)
    for update skip locked
), cleared as (
    update postrider.attachment as a
    set last_error = null, last_error_at = null
    from attached as f
    where a.attachment_no = f.attachment_no
    returning a.attachment_no
)
select exists (select from cleared) as is_cleared
