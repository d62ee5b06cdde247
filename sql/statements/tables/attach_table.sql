-- does:   attaches a table, or changes how it is attached (postrider.write_attachment)
-- params: $1 relation text, as resolve_table returns it; $2 settings text (a JSON object): the arguments of postrider.attach_table by
--         name; null, or left out: the default
-- rows:   one: result (created | changed | unchanged), changes text[] (a line for each setting), granted text[] and missing text[] (what
--         was granted now, and what nobody granted yet, as grant takes it: usage on schema app to postrider_dispatcher), notes text[] (what
--         whoever attaches it should know)
-- locks:  the table, for a moment: no writer of it waits for more than a second; if others hold it, it is tried for a minute
-- repeat: unchanged
select w.result, w.changes, w.granted, w.missing, w.notes
from postrider.write_attachment($1::text::regclass, $2::text::jsonb) as w
