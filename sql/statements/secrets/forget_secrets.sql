-- does:   deletes rotated secrets that no longer sign (postrider.forget_secrets)
-- params: none
-- rows:   one, empty
-- locks:  the rows it deletes
-- repeat: deletes those whose overlap ended meanwhile
select postrider.forget_secrets()
