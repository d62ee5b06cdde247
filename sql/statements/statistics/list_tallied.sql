-- does:   lists the endpoints whose tallies are to be summed up or folded
-- params: none
-- rows:   endpoint_no int, each once; order unspecified
-- locks:  none
-- repeat: the same
select t.endpoint_no from postrider.tally as t
union
select h.endpoint_no
from postrider.hourly_tally as h
where h.hour > '-infinity' and h.hour < now() - interval '25 hours'
