create or replace function postrider.is_retry_schedule(delays interval[]) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return cardinality(delays) between 1 and 50
   and (select bool_and(d is not null and d between interval '1 millisecond' and interval '7 days') from unnest(delays) as d);
comment on function postrider.is_retry_schedule(interval[]) is 'Whether the array is 1 to 50 delays of 1 ms to 7 days.';
revoke all on function postrider.is_retry_schedule(interval[]) from public;
grant execute on function postrider.is_retry_schedule(interval[]) to postrider_dispatcher;
