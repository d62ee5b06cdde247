-- does:   records that an attempt on an endpoint succeeded. The endpoint's row of failures goes, so its circuit is closed.
-- params: $1 endpoint_no int
-- rows:   one: state: the circuit's state before (null if there was no row, or somebody has locked it); is_locked boolean
-- locks:  the circuit's row, skipping a locked one; never waits
-- repeat: state is null
with free as materialized (
    select c.endpoint_no from postrider.circuit as c where c.endpoint_no = $1::int for update skip locked
), gone as (
    delete from postrider.circuit as c using free as f where c.endpoint_no = f.endpoint_no returning c.state
)
select (select g.state from gone as g) as state,
       exists (select from postrider.circuit as c where c.endpoint_no = $1) and not exists (select from free) as is_locked
