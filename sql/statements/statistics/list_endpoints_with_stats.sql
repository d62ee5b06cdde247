-- does:   lists the endpoints whose statistics are to be aggregated or compacted
-- params: none
-- rows:   endpoint_no int, each once; order unspecified
-- locks:  none
-- repeat: the same
select t.endpoint_no from postrider.endpoint_stat as t
union
select h.endpoint_no
from postrider.endpoint_stat_hourly as h
where h.hour > '-infinity' and h.hour < now() - interval '25 hours'
