-- does:   remembers for the next start that everything below is routed
-- params: $1 routed_below text (an xid8)
-- rows:   none
-- locks:  the installation row, briefly
-- repeat: changes nothing
update postrider.installation as i
set routed_below = $1::text::xid8
where i.routed_below is distinct from $1::text::xid8
