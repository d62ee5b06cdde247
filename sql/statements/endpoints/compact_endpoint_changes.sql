-- does:   adds the rows of endpoint_change to the count in the installation row. The version stays the same.
-- params: $1 rows_max bigint 1..=10000
-- rows:   one: compacted bigint (if it equals rows_max, call again; 0 if there are no rows, or somebody has locked the
--         installation row)
-- locks:  the installation row and the rows compacted, skipping locked ones
-- repeat: goes on with the rest
with base as materialized (
    select i.only_row from postrider.installation as i for no key update skip locked
), taken as materialized (
    select c.id
    from postrider.endpoint_change as c
    where exists (select from base)
    order by c.id
    limit $1
    for update skip locked
), gone as (
    delete from postrider.endpoint_change as c using taken as t where c.id = t.id returning c.id
), counted as (
    select count(*) as changes from gone
), added as (
    update postrider.installation as i
    set endpoint_version = i.endpoint_version + c.changes
    from counted as c
    where c.changes > 0
)
select c.changes as compacted from counted as c
