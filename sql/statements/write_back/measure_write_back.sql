-- does:   measures the rows of attached tables whose status is due to be written
-- params: $1 rows_max bigint: no more are counted
-- rows:   one: waiting bigint: entries, at most $1; oldest_age_ms bigint: of the first of them, 0 if there is none
-- locks:  none
-- repeat: measures again
select (select count(*) from (select from postrider.row_due as d limit $1::bigint) as d) as waiting,
       coalesce(greatest(extract(epoch from clock_timestamp()
           - (select d.noted_at from postrider.row_due as d order by d.id limit 1)) * 1000, 0), 0)::bigint as oldest_age_ms
