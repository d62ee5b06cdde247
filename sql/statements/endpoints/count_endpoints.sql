-- does:   counts the endpoints by their health
-- params: none
-- rows:   one: row text: a JSON object with a number for healthy, failing, down, paused and disabled
-- locks:  none
-- repeat: the same
select to_json(r)::text as row
from (select count(*) filter (where c.health = 'healthy') as healthy,
             count(*) filter (where c.health = 'failing') as failing,
             count(*) filter (where c.health = 'down') as down,
             count(*) filter (where c.health = 'paused') as paused,
             count(*) filter (where c.health = 'disabled') as disabled
      from postrider.endpoint_condition as c) as r
