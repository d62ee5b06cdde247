-- does:   notes that the rows were brought here from another cluster, if they were: what was routed there says nothing here
--         (postrider.note_restore)
-- params: none
-- rows:   one: is_restored boolean (by this call)
-- locks:  the installation row, if so
-- repeat: changes nothing
select postrider.note_restore() as is_restored
