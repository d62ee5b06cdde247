-- does:   finds which of these rows are due for another try
-- params: $1 stage text (as in postrider.refused), $2 ids bigint[]
-- rows:   id; also ids without a record
-- locks:  none
-- repeat: the same
select u.id
from unnest($2::bigint[]) as u (id)
where not exists (select from postrider.refused as r
                  where r.stage = $1 and r.id = u.id and r.retry_at > clock_timestamp())
