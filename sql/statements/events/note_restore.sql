-- does:   records that the rows came from another cluster, if they did. The watermark of that cluster means nothing here
--         (postrider.note_restore).
-- params: none
-- rows:   one: is_restored boolean (this call recorded it)
-- locks:  the installation row, if it records a restore
-- repeat: changes nothing
select postrider.note_restore() as is_restored
