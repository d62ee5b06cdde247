-- does:   returns the statements that attaching a table would execute (postrider.attachment_ddl)
-- params: $1 relation text, as resolve_table returns it; $2 settings text (a JSON object), as attach_table has them
-- rows:   one: statements text
-- locks:  none that stays
-- repeat: the same
select postrider.attachment_ddl($1::text::regclass, $2::text::jsonb) as statements
