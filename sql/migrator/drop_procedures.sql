-- does:   drops the procedures that objects.sql made
-- locks:  none that others wait for
-- repeat: fails, because the procedures are gone
drop procedure postrider.apply_object(text, text, text, text);
drop procedure postrider.drop_other_objects(text[]);
drop procedure postrider.drop_object(text, text);
