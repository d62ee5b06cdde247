-- does:   reads what is secret of one endpoint, as it is stored
-- params: $1 id text
-- rows:   none for an unknown id, or one: secret, signing_key, auth, client_certificate (null: none), old_secrets text[]
-- locks:  none
-- repeat: the same
select e.secret,
       e.signing_key,
       e.auth,
       e.client_certificate,
       array(select s.secret from postrider.old_secret as s where s.endpoint_no = e.no) as old_secrets
from postrider.endpoint as e
where e.id = $1 and e.state <> 'deleted'
