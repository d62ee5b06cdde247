-- does:   reads endpoints of templates
-- params: $1 endpoint_nos int[]
-- rows:   endpoint_no int, id, template_no int, state; one per endpoint of these that is of a template and not deleted; order unspecified
-- locks:  none
-- repeat: the same
select e.endpoint_no, e.id, e.template_no, e.state
from postrider.endpoint as e
where e.endpoint_no = any ($1::int[]) and e.template_no is not null and e.state <> 'deleted'
