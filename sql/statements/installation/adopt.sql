-- does:   says what this database is, so that dispatchers send from it (postrider.adopt)
-- params: $1 kind text (copy | original), $2 name text or null
-- rows:   row text: one JSON object of the columns below
-- locks:  the installation row; for a copy every event and delivery that is not settled; waits
-- repeat: original: the same again; copy: as for any installation, which nobody is working on
select to_json(r)::text as row
from (select a.name, a.code, a.events_cancelled, a.endpoints_paused from postrider.adopt($1, $2) as a) as r
