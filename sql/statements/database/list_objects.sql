-- does:   lists the functions and views that the migrator applied and that are still there
-- params: none
-- rows:   row text: a JSON array of objects with the fields kind, name, digest and applied_by
-- locks:  none
-- repeat: the same
select coalesce(json_agg(json_build_object(
           'kind', o.kind, 'name', o.name, 'digest', o.digest, 'applied_by', o.applied_by) order by o.kind, o.name), '[]')::text as row
from postrider.schema_object as o
where case o.kind when 'view' then to_regclass(o.identity) is not null else to_regprocedure(o.identity) is not null end
