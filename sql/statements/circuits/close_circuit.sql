-- does:   records that an attempt on an endpoint succeeded. The endpoint's row of failures goes, so its circuit is closed. If the
--         endpoint asked to be left alone, and the time is not over, the row stays for that alone.
-- params: $1 endpoint_no int
-- rows:   one: state: the circuit's state before (null if there was no row, or somebody has locked it); held_ms bigint: how long the
--         endpoint is still held (null if the row is gone); is_locked boolean
-- locks:  the circuit's row, skipping a locked one; never waits
-- repeat: state is null, or closed while the endpoint is held
with free as materialized (
    select c.endpoint_no, c.state, coalesce(c.held_until > clock_timestamp(), false) as is_held
    from postrider.circuit as c
    where c.endpoint_no = $1::int
    for update skip locked
), gone as (
    delete from postrider.circuit as c using free as f where c.endpoint_no = f.endpoint_no and not f.is_held
), held as (
    update postrider.circuit as c
    set state = 'closed', failures = 0, failed_probes = 0, failing_since = null, failed_at = null, retry_at = null, quiet = '0',
        probe_at = null, probe_by = null,
        changed_at = case when c.state = 'closed' then c.changed_at else clock_timestamp() end
    from free as f
    where c.endpoint_no = f.endpoint_no and f.is_held
    returning ceil(extract(epoch from c.held_until - clock_timestamp()) * 1000)::bigint as held_ms
)
select (select f.state from free as f) as state,
       (select h.held_ms from held as h) as held_ms,
       exists (select from postrider.circuit as c where c.endpoint_no = $1) and not exists (select from free) as is_locked
