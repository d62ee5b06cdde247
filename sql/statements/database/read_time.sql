-- does:   reads the database's clock, minus $1
-- params: $1 ago_ms bigint
-- rows:   one: at text (RFC 3339, like every time that is shown)
-- locks:  none
-- repeat: later
select to_json(clock_timestamp() - $1::bigint * interval '1 millisecond') #>> '{}' as at
