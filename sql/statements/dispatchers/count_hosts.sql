-- does:   counts the hosts (with port) of enabled endpoints
-- params: none
-- rows:   one: hosts bigint
-- locks:  none
-- repeat: the same
select count(distinct substring(lower(e.url) from '^[^/]*//([^/?#]*)')) as hosts
from postrider.live_endpoint as e
where e.state = 'enabled' and not e.is_template
