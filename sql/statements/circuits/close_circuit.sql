-- does:   records that an attempt on an endpoint succeeded. The endpoint's row of failures goes, so its circuit is closed.
-- params: $1 endpoint_no int
-- rows:   one: state: the circuit's state before (null if there was no row, or somebody has locked it); failed_attempts bigint
--         (since the success before, null without a row); failing_ms bigint (since the first of them began, null without a row);
--         is_locked boolean
-- locks:  the circuit's row, skipping a locked one; never waits
-- repeat: state is null
with free as materialized (
    select c.endpoint_no from postrider.circuit as c where c.endpoint_no = $1::int for update skip locked
), gone as (
    delete from postrider.circuit as c using free as f where c.endpoint_no = f.endpoint_no
    returning c.state, c.failed_attempts, c.failing_since
)
select g.state,
       g.failed_attempts,
       greatest(extract(epoch from clock_timestamp() - g.failing_since) * 1000, 0)::bigint as failing_ms,
       exists (select from postrider.circuit as c where c.endpoint_no = $1) and not exists (select from free) as is_locked
from (select) as one
left join gone as g on true
