-- does:   finds endpoints with a secret that is not sealed, or not sealed with this key
-- params: $1 seal text (sealed: or sealed:2:KEY_ID:), $2 after_no int, $3 rows_max bigint 1..=1000
-- rows:   endpoint_no int, id, url, fields text[] and stored text[] (the column and the value of each such secret; for a
--         rotated one the column is secret); by endpoint_no, after $2
-- locks:  none
-- repeat: those that were not sealed meanwhile
select e.endpoint_no, e.id, e.url, found.fields, found.stored
from postrider.endpoint as e
cross join lateral (
    select array_agg(s.field) as fields, array_agg(s.stored) as stored
    from (select v.field, v.stored
          from (values ('secret', e.secret), ('signing_key', e.signing_key), ('auth', e.auth),
                       ('client_certificate', e.client_certificate)) as v (field, stored)
          union
          select 'secret', o.secret from postrider.old_secret as o where o.endpoint_no = e.endpoint_no) as s
    where not starts_with(s.stored, $1)) as found
where e.state <> 'deleted' and e.endpoint_no > $2 and found.stored is not null
order by e.endpoint_no
limit $3
