-- does:   deletes rotated secrets that sign no more (postrider.forget_secrets)
-- params: none
-- rows:   one, empty
-- locks:  the rows it deletes
-- repeat: those whose overlap ended meanwhile
select postrider.forget_secrets()
