-- does:   saves the watermark for the next start: everything below is routed
-- params: $1 routed_below text (an xid8)
-- rows:   none
-- locks:  the installation row, briefly; never waits, because a later call can save it as well
-- repeat: changes nothing
with free as materialized (
    select i.only_row
    from postrider.installation as i
    where i.routed_below is distinct from $1::text::xid8
    for no key update skip locked
)
update postrider.installation as i
set routed_below = $1::text::xid8
from free
where i.only_row = free.only_row
