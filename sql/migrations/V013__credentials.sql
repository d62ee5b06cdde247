-- why: an endpoint may get CloudEvents, an ed25519 signature beside the HMAC, a login of ours (basic, bearer, OAuth 2), and TLS of its
--      own (which authorities it is trusted by, a certificate of ours). What is secret in it may be sealed (encrypted) by a key that
--      the database does not have. Endpoints are limited in number.
-- old code: survives; sealed secrets are beyond it.

create function postrider.is_sealed(secret text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return octet_length(secret) <= 100000 and secret ~ '^sealed:[0-9a-f]{8}:[A-Za-z0-9+/]{38,}=*$';
comment on function postrider.is_sealed(text) is
    'Whether it is encrypted: sealed:KEY_ID:base64 of nonce, ciphertext and tag (AES-256-GCM). Only who has the key of that id can read it.';

create or replace function postrider.is_signing_secret(secret text) returns boolean
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
    return postrider.is_sealed(secret)
        or secret ~ '^whsec_[A-Za-z0-9+/]+=*$' and octet_length(decode(substr(secret, 7), 'base64')) between 24 and 64;
exception when data_exception then
    return false;
end
$$;
comment on function postrider.is_signing_secret(text) is
    'Whether it is whsec_ and base64 of 24 to 64 bytes (Standard Webhooks 1.0.0), or sealed.';

create function postrider.is_signing_key(signing_key text) returns boolean
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
begin
    return postrider.is_sealed(signing_key)
        or signing_key ~ '^whsk_[A-Za-z0-9+/]+=*$' and octet_length(decode(substr(signing_key, 6), 'base64')) = 64;
exception when data_exception then
    return false;
end
$$;
comment on function postrider.is_signing_key(text) is
    'Whether it is whsk_ and base64 of 64 bytes (an ed25519 seed and its public key), or sealed.';

create function postrider.is_auth(auth text) returns boolean
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    fields  jsonb;
    needed  text[];
begin
    if postrider.is_sealed(auth) then
        return true;
    end if;
    if octet_length(auth) > 16384 then
        return false;
    end if;
    fields := auth::jsonb;
    needed := case fields ->> 'type'
        when 'basic' then array['username', 'password']
        when 'bearer' then array['token']
        when 'oauth2' then array['token_url', 'client_id', 'client_secret']
    end;
    return coalesce(jsonb_typeof(fields) = 'object' and fields ?& needed
        and fields - needed - array['type', 'scope'] = '{}'
        and (fields ->> 'type' = 'oauth2' or not fields ? 'scope')
        and (select bool_and(jsonb_typeof(f.value) = 'string') from jsonb_each(fields) as f), false);
exception when data_exception then
    return false;
end
$$;
comment on function postrider.is_auth(text) is
    'Whether it is JSON of type basic (username, password), bearer (token) or oauth2 (token_url, client_id, client_secret, perhaps scope), or sealed.';

create function postrider.is_pem(pem text) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return octet_length(pem) <= 65536 and pem ~ '-----BEGIN [A-Z ]+-----' and pem !~ '[^\x09\x0a\x0d\x20-\x7e]';
comment on function postrider.is_pem(text) is 'Whether it may be PEM: at most 64 KiB of ASCII with a BEGIN line.';

alter table postrider.endpoint
    add column format             text not null default 'webhook' check (format in (
        'webhook',                 -- the payload, as Standard Webhooks has it
        'cloudevents-binary',      -- the payload, and what CloudEvents 1.0 says of it in ce- headers
        'cloudevents-structured')),-- one JSON document with the payload as data
    add column signing_key        text check (postrider.is_signing_key(signing_key)),
    add column public_key         text check (public_key ~ '^whpk_[A-Za-z0-9+/]{43}=$'),
    add column auth               text check (postrider.is_auth(auth)),
    add column ca_certificates    text check (postrider.is_pem(ca_certificates)),
    add column client_certificate text check (postrider.is_sealed(client_certificate) or postrider.is_pem(client_certificate)),
    add constraint signing_key_has_a_public_key check ((signing_key is null) = (public_key is null));
comment on column postrider.endpoint.format is 'What is sent: webhook, cloudevents-binary or cloudevents-structured.';
comment on column postrider.endpoint.signing_key is 'Signs with ed25519 (v1a of Standard Webhooks) beside the secret: whsk_ and base64 of seed and public key, or sealed; null: no.';
comment on column postrider.endpoint.public_key is 'What verifies that signature: whpk_ and base64 of 32 bytes. Not a secret.';
comment on column postrider.endpoint.auth is 'How we log in: JSON of type basic, bearer or oauth2 as postrider.is_auth has it, or sealed; null: we do not.';
comment on column postrider.endpoint.ca_certificates is 'PEM: the authorities that alone are trusted for this endpoint; null: the system''s.';
comment on column postrider.endpoint.client_certificate is 'PEM: the certificate that we show this endpoint, its chain and its private key, or sealed; null: none.';
comment on column postrider.endpoint.secret is 'Signing secret: whsec_ and base64 of 24 to 64 bytes, or sealed; postrider.rotate_secret changes it without a gap.';

alter table postrider.installation
    add column endpoints_max integer not null default 100000 check (endpoints_max between 1 and 10000000);
comment on column postrider.installation.endpoints_max is 'So many endpoints may exist; 1 to 10,000,000. Its owner may change it with an UPDATE.';

drop function postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean);
create function postrider.put_endpoint(
    id text, url text, topics text[] default '{**}', headers jsonb default '{}', secret text default null,
    max_in_flight integer default 64, rate_limit text default null, timeout interval default null,
    retry_schedule interval[] default null, ordered boolean default false,
    format text default 'webhook', signing_key text default null, auth text default null,
    ca_certificates text default null, client_certificate text default null, public_key text default null,
    out endpoint_id text, out result text, out new_secret text
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    old   postrider.endpoint;
    new   postrider.endpoint;
    wrong text;
begin
    wrong := case
        when coalesce(put_endpoint.id, '') !~ '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$' then
            'id: 1 to 64 of [A-Za-z0-9._-], not starting with a full stop'
        when coalesce(put_endpoint.url, '') !~ '^https?://[^[:space:][:cntrl:]@\\#]+$' or octet_length(put_endpoint.url) > 2048 then
            'url: https://host/path of at most 2048 bytes, without credentials, fragment, spaces or backslashes'
        when put_endpoint.topics is null or cardinality(put_endpoint.topics) > 100 or not postrider.are_topic_patterns(put_endpoint.topics) then
            'topics: up to 100 patterns of dotted words of [A-Za-z0-9_-] or * (one word), ** only at the end, 128 bytes each'
        when put_endpoint.headers is null or not postrider.are_headers_valid(put_endpoint.headers) then
            'headers: an object of strings; names are HTTP tokens and not reserved, values are visible ASCII'
        when put_endpoint.secret is not null and not postrider.is_signing_secret(put_endpoint.secret) then
            'secret: whsec_ followed by base64 of 24 to 64 bytes'
        when coalesce(put_endpoint.max_in_flight, 0) not between 1 and 10000 then
            'max_in_flight: 1 to 10000'
        when put_endpoint.rate_limit is not null and put_endpoint.rate_limit !~ '^[1-9][0-9]{0,6}/[smh]$' then
            'rate_limit: a number per s, m or h, as 50/s'
        when put_endpoint.timeout is not null and put_endpoint.timeout not between interval '100 milliseconds' and interval '5 minutes' then
            'timeout: 100 ms to 5 minutes'
        when put_endpoint.retry_schedule is not null and not postrider.is_retry_schedule(put_endpoint.retry_schedule) then
            'retry_schedule: 1 to 50 delays of 1 ms to 7 days'
        when coalesce(put_endpoint.ordered, true) then
            'ordered: order per key is not available yet'
        when coalesce(put_endpoint.format, '') not in ('webhook', 'cloudevents-binary', 'cloudevents-structured') then
            'format: webhook, cloudevents-binary or cloudevents-structured'
        when put_endpoint.signing_key <> 'none' and not postrider.is_signing_key(put_endpoint.signing_key)
            or postrider.is_sealed(put_endpoint.signing_key) and put_endpoint.public_key is null then
            'signing_key: whsk_ followed by base64 of 64 bytes (seed and public key), or none'
        when put_endpoint.public_key !~ '^whpk_[A-Za-z0-9+/]{43}=$' then
            'public_key: whpk_ followed by base64 of 32 bytes'
        when put_endpoint.auth <> 'none' and not postrider.is_auth(put_endpoint.auth) then
            'auth: JSON of type basic (username, password), bearer (token) or oauth2 (token_url, client_id, client_secret, scope), or none'
        when not postrider.is_pem(put_endpoint.ca_certificates) then
            'ca_certificates: PEM of at most 64 KiB'
        when put_endpoint.client_certificate <> 'none' and not postrider.is_pem(put_endpoint.client_certificate)
            and not postrider.is_sealed(put_endpoint.client_certificate) then
            'client_certificate: PEM of at most 64 KiB, the certificate and its private key, or none'
    end;
    if wrong is not null then
        raise exception 'endpoint "%": invalid %', left(put_endpoint.id, 64), split_part(wrong, ':', 1)
            using errcode = 'invalid_parameter_value', detail = 'Allowed is ' || wrong;
    end if;

    -- Two calls for one new id at once: the second waits here and then finds the row.
    perform pg_advisory_xact_lock(hashtextextended('postrider.endpoint.' || put_endpoint.id, 0));
    select * into old from postrider.endpoint as e where e.id = put_endpoint.id and e.state <> 'deleted' for update;
    endpoint_id := put_endpoint.id;
    new := old;
    new.url := put_endpoint.url;
    new.topics := put_endpoint.topics;
    new.headers := put_endpoint.headers;
    new.max_in_flight := put_endpoint.max_in_flight;
    new.rate_limit := put_endpoint.rate_limit;
    new.timeout := put_endpoint.timeout;
    new.retry_schedule := put_endpoint.retry_schedule;
    new.format := put_endpoint.format;
    new.ca_certificates := put_endpoint.ca_certificates;
    -- What nobody is shown again is kept unless it is named: who reads, changes and puts back loses nothing.
    new.secret := coalesce(put_endpoint.secret, old.secret);
    new.auth := nullif(coalesce(put_endpoint.auth, old.auth), 'none');
    new.client_certificate := nullif(coalesce(put_endpoint.client_certificate, old.client_certificate), 'none');
    if put_endpoint.signing_key is not null then
        new.signing_key := nullif(put_endpoint.signing_key, 'none');
        new.public_key := case
            when new.signing_key is null then null
            when postrider.is_sealed(new.signing_key) then put_endpoint.public_key
            else 'whpk_' || encode(substr(decode(substr(new.signing_key, 6), 'base64'), 33), 'base64') end;
    end if;
    if old.no is null then
        if (select s.last_value from postrider.endpoint_no_seq as s) >= (select i.endpoints_max from postrider.installation as i)
           and (select count(*) from postrider.endpoint as e where e.state <> 'deleted')
               >= (select i.endpoints_max from postrider.installation as i) then
            raise exception 'endpoint "%": the limit of % endpoints is reached', put_endpoint.id,
                    (select i.endpoints_max from postrider.installation as i)
                using errcode = 'program_limit_exceeded',
                      hint = 'Delete endpoints, or raise postrider.installation.endpoints_max.';
        end if;
        new_secret := case when put_endpoint.secret is null then postrider.random_secret() end;
        insert into postrider.endpoint (id, url, topics, headers, secret, max_in_flight, rate_limit, timeout, retry_schedule,
            format, signing_key, public_key, auth, ca_certificates, client_certificate)
        values (put_endpoint.id, new.url, new.topics, new.headers, coalesce(new.secret, new_secret), new.max_in_flight,
                new.rate_limit, new.timeout, new.retry_schedule,
                new.format, new.signing_key, new.public_key, new.auth, new.ca_certificates, new.client_certificate);
        result := 'created';
        return;
    end if;
    -- Or whoever may move an endpoint, and does not know its login, would be sent it.
    if old.auth is not null and put_endpoint.auth is null
       and lower(substring(old.url from '^https?://[^/?]*')) <> lower(substring(new.url from '^https?://[^/?]*')) then
        raise exception 'endpoint "%": auth is not taken along to another host', old.id
            using errcode = 'invalid_parameter_value', detail = 'Allowed is to name auth again with the new url, or none';
    end if;
    if new is not distinct from old then
        result := 'unchanged';
        return;
    end if;
    if new.secret <> old.secret then
        -- Whoever names a new secret wants that one: rotate_secret is the gentle way.
        delete from postrider.old_secret as s where s.endpoint_no = old.no;
    end if;
    update postrider.endpoint as e
    set url = new.url, topics = new.topics, headers = new.headers, secret = new.secret, max_in_flight = new.max_in_flight,
        rate_limit = new.rate_limit, timeout = new.timeout, retry_schedule = new.retry_schedule, format = new.format,
        signing_key = new.signing_key, public_key = new.public_key, auth = new.auth,
        ca_certificates = new.ca_certificates, client_certificate = new.client_certificate, changed_at = now()
    where e.no = old.no;
    result := 'changed';
end
$$;
comment on function postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean, text, text, text, text, text, text) is
    'Creates the endpoint or replaces all it says; secret, signing_key, auth and client_certificate are kept if none is given, and the last three removed by ''none''; auth must be named where url leads to another host. '
    'The same call twice changes nothing, and a paused endpoint stays paused. '
    'Returns (endpoint_id, result: created | changed | unchanged, new_secret: only when one was generated). Raises 22023 for an invalid argument, 54000 beyond endpoints_max.';

create or replace function postrider.delete_endpoint(id text, out endpoint_id text, out pending bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone_no integer;
begin
    -- What may hold a secret goes too: the URL and the headers.
    update postrider.endpoint as e
    set state = 'deleted', reason = 'deleted', secret = postrider.random_secret(), url = 'https://deleted.invalid/',
        headers = '{}', signing_key = null, public_key = null, auth = null, ca_certificates = null, client_certificate = null,
        changed_at = now()
    where e.id = delete_endpoint.id and e.state <> 'deleted'
    returning e.no, e.id into gone_no, endpoint_id;
    if not found then
        raise exception 'endpoint "%" does not exist', left(delete_endpoint.id, 64) using errcode = 'no_data_found';
    end if;
    delete from postrider.old_secret as s where s.endpoint_no = gone_no;
    select count(*) into pending from postrider.delivery as d where d.endpoint_no = gone_no and d.due_at is not null;
end
$$;

create function postrider.forget_secrets() returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
    delete from postrider.old_secret as s where s.valid_until <= clock_timestamp();
end;
comment on function postrider.forget_secrets() is 'Deletes rotated secrets that sign no more. Private.';

-- Dispatchers that have a key seal what stands in the clear.
grant update (secret) on postrider.old_secret to postrider_dispatcher;
revoke all on function
    postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean, text, text, text, text, text, text),
    postrider.is_sealed(text), postrider.is_signing_key(text), postrider.is_auth(text), postrider.is_pem(text),
    postrider.forget_secrets()
    from public;
grant execute on function
    postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean, text, text, text, text, text, text),
    postrider.is_sealed(text), postrider.is_signing_key(text), postrider.is_auth(text), postrider.is_pem(text),
    postrider.forget_secrets()
    to postrider_dispatcher;

-- Names of CloudEvents are not for producers and owners to set.
create or replace function postrider.are_headers_valid(headers jsonb) returns boolean
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp
return jsonb_typeof(headers) = 'object'
   and octet_length(headers::text) <= 8192
   and not exists (
        select from jsonb_each(case jsonb_typeof(headers) when 'object' then headers else '{}' end) as h (name, value)
        where jsonb_typeof(h.value) <> 'string'
           or h.name !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]{1,128}$'
           or h.value #>> '{}' !~ '^[\x20-\x7e]*$'
           or lower(h.name) in ('host', 'connection', 'content-length', 'content-type', 'content-encoding', 'expect',
                'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'user-agent')
           or lower(h.name) ~ '^(webhook-|postrider-|proxy-|ce-)');
comment on function postrider.are_headers_valid(jsonb) is
    'Whether every name is an HTTP token and not reserved (host, connection, content-*, webhook-*, postrider-*, proxy-*, ce-* ...) and every value is visible ASCII and spaces.';
