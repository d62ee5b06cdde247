-- does:   finds endpoints of which a secret is not sealed, or not by this key
-- params: $1 seal text (sealed: or sealed:KEY_ID:), $2 after_no int, $3 rows_max bigint 1..=1000
-- rows:   no int, id, stored text[] (every secret of it that is not); by no, after $2
-- locks:  none
-- repeat: those that were not sealed meanwhile
select f.no, f.id, f.stored
from (select e.no,
             e.id,
             array(select s.secret
                   from (values (e.secret), (e.signing_key), (e.auth), (e.client_certificate)) as s (secret)
                   where not starts_with(s.secret, $1)
                   union
                   select o.secret from postrider.old_secret as o where o.endpoint_no = e.no and not starts_with(o.secret, $1)) as stored
      from postrider.endpoint as e
      where e.state <> 'deleted' and e.no > $2) as f
where f.stored <> '{}'
order by f.no
limit $3
