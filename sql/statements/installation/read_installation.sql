-- does:   reads which installation this is, and whether anything is sent from here (postrider.installation_status, and whether it is taken)
-- params: none
-- rows:   row text: a JSON object of the columns below; at most one
-- locks:  none
-- repeat: the same
select to_json(r)::text as row
from (select s.name, s.code, s.waits_because, s.move_expected_until, i.home_database is not null as is_taken,
             coalesce(i.server, '') <> '' as is_server_known
      from postrider.installation_status as s
      cross join postrider.installation as i) as r
