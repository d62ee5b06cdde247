-- does:   reads the secrets of one endpoint as they are stored, with the url that they belong to, and locks the endpoint
-- params: $1 id text
-- rows:   one: url, secret, signing_key, auth, client_certificate, public_key (each null if not set), old_secrets text[]; no row for
--         an unknown id
-- locks:  the endpoint's row, until the transaction ends, so that nobody seals, rotates or replaces the secrets meanwhile;
--         waits
-- repeat: the same
select e.url,
       e.secret,
       e.signing_key,
       e.auth,
       e.client_certificate,
       e.public_key,
       array(select s.secret from postrider.old_secret as s where s.endpoint_no = e.endpoint_no) as old_secrets
from postrider.endpoint as e
where e.id = $1 and e.state <> 'deleted'
for no key update of e
