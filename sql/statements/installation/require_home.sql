-- does:   refuses to go on unless a dispatcher may work on this database (postrider.require_home). The first one makes it its home.
-- params: none; the setting postrider.installation has the name that the dispatcher was told
-- rows:   one: is_home boolean, always true
-- locks:  the installation row, if it is written: by the first dispatcher (never waits), or after an expected move (waits)
-- repeat: changes nothing
select postrider.require_home() is not null as is_home
