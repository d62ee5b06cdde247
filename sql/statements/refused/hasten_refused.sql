-- does:   makes refused rows due for another try at once. They were refused for the same reason as a row that has succeeded
--         now.
-- params: $1 stage text, $2 id bigint
-- rows:   none
-- locks:  the records, skipping locked ones
-- repeat: changes nothing more
with same as materialized (
    select r.stage, r.id
    from postrider.refused as r
    where r.stage = $1
      and r.id <> $2
      and r.reason = (select f.reason from postrider.refused as f where f.stage = $1 and f.id = $2)
      and r.retry_at > clock_timestamp()
    for update skip locked
)
update postrider.refused as r
set retry_at = clock_timestamp()
from same as s
where r.stage = s.stage and r.id = s.id
