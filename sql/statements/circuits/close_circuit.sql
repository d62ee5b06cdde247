-- does:   notes that an attempt on an endpoint succeeded: it does not fail any more, and its circuit is closed
-- params: $1 endpoint_no int
-- rows:   one: state: what its circuit was (null: nothing was on record, or it is locked); is_locked boolean
-- locks:  the circuit's row, skipping a locked one; never waits
-- repeat: no state
with free as materialized (
    select c.endpoint_no from postrider.circuit as c where c.endpoint_no = $1::int for update skip locked
), gone as (
    delete from postrider.circuit as c using free as f where c.endpoint_no = f.endpoint_no returning c.state
)
select (select g.state from gone as g) as state,
       exists (select from postrider.circuit as c where c.endpoint_no = $1) and not exists (select from free) as is_locked
