-- does:   replaces secrets by their sealed form. Leaves a secret whose stored value or whose endpoint's URL has changed since
--         it was read.
-- params: $1 endpoint_nos int[], $2 urls text[], $3 fields text[], $4 stored text[], $5 sealed text[]: one entry per secret; $6
--         skips_locked boolean: leaves an endpoint that somebody has locked
-- rows:   one: sealed bigint, how many endpoints and old secrets were changed
-- locks:  the endpoints and the old secrets; waits for other holders; never waits with $6
-- repeat: changes nothing
with swap as materialized (
    select s.endpoint_no, s.url, s.field, s.stored, s.sealed
    from unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[]) as s (endpoint_no, url, field, stored, sealed)
), locked as materialized (
    select e.endpoint_no
    from postrider.endpoint as e
    where $6::boolean and e.endpoint_no in (select s.endpoint_no from swap as s) and e.state <> 'deleted'
    for no key update skip locked
), locked_old as materialized (
    select o.endpoint_no, o.secret
    from postrider.old_secret as o
    where $6 and o.endpoint_no in (select s.endpoint_no from swap as s)
    for update skip locked
), endpoints as (
    -- The seal is bound to the URL. If the URL has changed meanwhile, the next run seals the secrets.
    update postrider.endpoint as e
    set secret = coalesce(
            (select s.sealed from swap as s where (s.endpoint_no, s.url, s.field, s.stored) = (e.endpoint_no, e.url, 'secret', e.secret)), e.secret),
        signing_key = coalesce(
            (select s.sealed from swap as s where (s.endpoint_no, s.url, s.field, s.stored) = (e.endpoint_no, e.url, 'signing_key', e.signing_key)),
            e.signing_key),
        auth = coalesce(
            (select s.sealed from swap as s where (s.endpoint_no, s.url, s.field, s.stored) = (e.endpoint_no, e.url, 'auth', e.auth)), e.auth),
        client_certificate = coalesce(
            (select s.sealed from swap as s
             where (s.endpoint_no, s.url, s.field, s.stored) = (e.endpoint_no, e.url, 'client_certificate', e.client_certificate)),
            e.client_certificate)
    where e.endpoint_no in (select s.endpoint_no from swap as s) and e.state <> 'deleted'
      and (not $6 or e.endpoint_no in (select l.endpoint_no from locked as l))
    returning 1
), old as (
    update postrider.old_secret as o
    set secret = s.sealed
    from swap as s
    where o.endpoint_no = s.endpoint_no and s.field = 'secret' and o.secret = s.stored
      and (not $6 or (o.endpoint_no, o.secret) in (select l.endpoint_no, l.secret from locked_old as l))
    returning 1
)
select (select count(*) from endpoints) + (select count(*) from old) as sealed
