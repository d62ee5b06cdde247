-- does:   records rows that the database refused to write, and when each is tried again. The delays grow as in a retry
--         schedule.
-- params: $1 stage text (as in postrider.refused), $2 ids bigint[], $3 reason text, $4 is_passing boolean: the reason may pass
--         soon (a lock, a deadlock, a timeout), so the next try is seconds away
-- rows:   none
-- locks:  the records of these rows
-- repeat: counts another try
insert into postrider.refused as r (stage, id, reason, retry_at)
select $1, u.id, left($3, 500), clock_timestamp() + case when $4::boolean then interval '1 second' else interval '5 seconds' end
from unnest($2::bigint[]) as u (id)
on conflict (stage, id) do update
set reason = excluded.reason,
    tries = r.tries + 1,
    retry_at = clock_timestamp() + case
        when $4 then least(r.tries + 1, 60) * interval '1 second'
        else ('{5s,5m,30m,2h,5h,10h,14h,20h,24h}'::interval[])[least(r.tries + 1, 9)] end
