-- does:   records that an attempt on an endpoint succeeded. The endpoint's row of failures goes, so its circuit is closed. If the
--         endpoint asked to be left alone, and the time is not over, the row stays for that alone.
-- params: $1 endpoint_no int
-- rows:   one: state: the circuit's state before (null if there was no row, or somebody has locked it); failed_attempts bigint
--         (since the success before, null without a row); failing_ms bigint (since the first of them began, null without a row, or
--         if it was only held); held_ms bigint: how long the endpoint is still held (null if the row is gone); is_locked boolean
-- locks:  the circuit's row, skipping a locked one; never waits
-- repeat: state is null, or closed while the endpoint is held
with free as materialized (
    select c.endpoint_no, c.state, c.failed_attempts, c.failing_since,
           coalesce(c.held_until > clock_timestamp(), false) as is_held
    from postrider.circuit as c
    where c.endpoint_no = $1::int
    for update skip locked
), gone as (
    delete from postrider.circuit as c using free as f where c.endpoint_no = f.endpoint_no and not f.is_held
), held as (
    update postrider.circuit as c
    set state = 'closed', failures = 0, failed_probes = 0, failing_since = null, failed_at = null, retry_at = null, quiet = '0',
        failed_attempts = 0, probe_at = null, probe_by = null,
        changed_at = case when c.state = 'closed' then c.changed_at else clock_timestamp() end
    from free as f
    where c.endpoint_no = f.endpoint_no and f.is_held
    returning ceil(extract(epoch from c.held_until - clock_timestamp()) * 1000)::bigint as held_ms
)
select f.state,
       f.failed_attempts,
       greatest(extract(epoch from clock_timestamp() - f.failing_since) * 1000, 0)::bigint as failing_ms,
       (select h.held_ms from held as h) as held_ms,
       exists (select from postrider.circuit as c where c.endpoint_no = $1) and not exists (select from free) as is_locked
from (select) as one
left join free as f on true
