-- does:   shows in postrider.attached_table why the status of rows of a table cannot be written
-- params: $1 attachment_no int; $2 why text, without values of rows
-- rows:   one: is_new boolean: it did not stand there yet
-- locks:  for update on the attachment, unless it is locked
-- repeat: changes nothing for a minute
with attached as materialized (
    select a.attachment_no
    from postrider.attachment as a
    where a.attachment_no = $1::int
      and (a.last_error is distinct from left('status not written: ' || $2::text, 500)
           or a.last_error_at < clock_timestamp() - interval '1 minute')
    for update skip locked
), noted as (
    update postrider.attachment as a
    set last_error = left('status not written: ' || $2, 500), last_error_at = clock_timestamp()
    from attached as f
    where a.attachment_no = f.attachment_no
    returning a.attachment_no
)
select exists (select from noted) as is_new
