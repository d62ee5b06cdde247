-- does:   finds which of these rows were refused and are to be tried again by now
-- params: $1 stage text (as in postrider.refused), $2 ids bigint[]
-- rows:   id; those without a record, too
-- locks:  none
-- repeat: the same
select u.id
from unnest($2::bigint[]) as u (id)
where not exists (select from postrider.refused as r
                  where r.stage = $1 and r.id = u.id and r.retry_at > clock_timestamp())
