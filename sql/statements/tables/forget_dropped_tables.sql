-- does:   forgets the attachments of tables that somebody dropped
-- params: none
-- rows:   attachment_no int, topic text: those forgotten
-- locks:  for update on the attachments, skipping locked ones; then the lock of postrider.grant_capture, which grants and takes back
-- repeat: changes nothing
with dropped as materialized (
    select a.attachment_no
    from postrider.attachment as a
    where not exists (select from pg_catalog.pg_class as c where c.oid = a.relation)
    for update skip locked
)
delete from postrider.attachment as a
using dropped as d
where a.attachment_no = d.attachment_no
returning a.attachment_no, a.topic
