-- does:   counts the hosts, each with its port, that enabled endpoints are on
-- params: none
-- rows:   hosts bigint; one
-- locks:  none
-- repeat: the same
select count(distinct substring(lower(e.url) from '^[^/]*//([^/?#]*)')) as hosts
from postrider.endpoint as e
where e.state = 'enabled'
