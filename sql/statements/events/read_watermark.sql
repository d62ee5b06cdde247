-- does:   reads the saved watermark, where the sweep at start begins
-- params: none
-- rows:   one: routed_below text (an xid8); 0 if this server is younger than the value, as after a restore elsewhere
-- locks:  none
-- repeat: the same
select case when i.routed_below <= pg_snapshot_xmin(pg_current_snapshot()) then i.routed_below::text else '0' end as routed_below
from postrider.installation as i
