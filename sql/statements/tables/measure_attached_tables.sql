-- does:   counts attached tables by their state
-- params: none
-- rows:   one: active, paused, broken bigint
-- locks:  none
-- repeat: measures again
select count(*) filter (where t.state = 'active') as active,
       count(*) filter (where t.state = 'paused') as paused,
       count(*) filter (where t.state = 'broken') as broken
from postrider.attached_table as t
