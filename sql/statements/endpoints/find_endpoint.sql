-- does:   says whether an endpoint exists, also to a producer (postrider.has_endpoint)
-- params: $1 endpoint_id text
-- rows:   one: is_known boolean
-- locks:  none
-- repeat: the same
select postrider.has_endpoint($1) as is_known
