-- does:   attaches a table (postrider.attach_table)
-- params: $1 relation text, as resolve_table returns it; $2 settings text (a JSON object): the other arguments by name; null, or left
--         out: the default
-- rows:   one: tables bigint, always 1
-- locks:  the table, for a moment: no writer of it waits for more than a second; if others hold it, it is tried for a minute
-- repeat: 55000: it is attached already
select count(*) as tables
from (select $2::text::jsonb as s) as given
cross join lateral postrider.attach_table(
    relation => $1::text::regclass,
    topic => given.s ->> 'topic',
    payload => given.s ->> 'payload',
    key => given.s ->> 'key',
    destination => given.s ->> 'destination',
    status => given.s ->> 'status',
    status_map => nullif(given.s -> 'status_map', 'null'),
    write_back => given.s ->> 'write_back',
    on_ops => (select array_agg(o.word) from jsonb_array_elements_text(nullif(given.s -> 'on_ops', 'null')) as o (word)),
    when_sql => given.s ->> 'when_sql',
    columns => (select array_agg(c.name) from jsonb_array_elements_text(nullif(given.s -> 'columns', 'null')) as c (name)),
    on_error => given.s ->> 'on_error',
    backfill => (given.s ->> 'backfill')::boolean) as attached
