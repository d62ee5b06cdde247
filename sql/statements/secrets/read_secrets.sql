-- does:   reads what is secret of one endpoint, as it is stored, and holds the endpoint
-- params: $1 id text
-- rows:   none for an unknown id, or one: secret, signing_key, auth, client_certificate, public_key (null: none), old_secrets text[]
-- locks:  the endpoint's row, until the transaction ends: nobody seals, rotates or replaces them meanwhile; waits
-- repeat: the same
select e.secret,
       e.signing_key,
       e.auth,
       e.client_certificate,
       e.public_key,
       array(select s.secret from postrider.old_secret as s where s.endpoint_no = e.endpoint_no) as old_secrets
from postrider.endpoint as e
where e.id = $1 and e.state <> 'deleted'
for no key update of e
