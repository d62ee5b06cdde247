-- does:   makes the endpoints of templates that do not exist yet (postrider.make_children)
-- params: $1 template_nos int[], $2 ids text[]: one entry per endpoint, called TEMPLATE/VALUE
-- rows:   endpoint_no int, id, template_no int, state; one per endpoint that exists now, made by this call or not; one is missing where
--         endpoints_max is reached or its template is deleted; order unspecified
-- locks:  one lock of all calls, until the statement ends; waits for other calls
-- repeat: the same rows
select m.endpoint_no, m.id, m.template_no, m.state from postrider.make_children($1::int[], $2::text[]) as m
