-- The receivers of events, with the form of their requests and their limits.
create table postrider.endpoint (
    endpoint_no        integer     generated always as identity primary key,
    id                 text        not null,
    url                text        check (postrider.is_endpoint_url(url)),
    topics             text[]      not null check (cardinality(topics) <= 100 and postrider.are_topic_patterns(topics)),
    headers            jsonb       not null default '{}' check (postrider.are_headers_valid(headers)),
    secret             text        check (postrider.is_signing_secret(secret)),
    max_in_flight      integer     not null default 64 check (max_in_flight between 1 and 10000),
    rate_limit         text        check (rate_limit ~ '^[1-9][0-9]{0,6}/[smh]$'),
    timeout            interval    check (timeout between interval '100 milliseconds' and interval '5 minutes'),
    retry_schedule     interval[]  check (postrider.is_retry_schedule(retry_schedule)),
    ordered            boolean     not null default false,
    state              text        not null default 'enabled' check (state in (
        'enabled',   -- deliveries are attempted
        'paused',    -- somebody paused it: deliveries wait
        'disabled',  -- Postrider gave up on it (410 Gone): deliveries wait, see reason
        'deleted')), -- somebody deleted it: deliveries that wait are given up
    reason             text,
    created_at         timestamptz not null default now(),
    changed_at         timestamptz not null default now(),
    disabled_at        timestamptz,
    format             text        not null default 'webhook' check (format in (
        'webhook',                  -- the payload, as Standard Webhooks has it
        'cloudevents-binary',       -- the payload, with the attributes of CloudEvents 1.0 in ce- headers
        'cloudevents-structured')), -- one JSON document with the payload as data
    signing_key        text        check (postrider.is_signing_key(signing_key)),
    public_key         text        check (public_key ~ '^whpk_[A-Za-z0-9+/]{43}=$'),
    auth               text        check (postrider.is_auth(auth)),
    ca_certificates    text        check (postrider.is_pem(ca_certificates)),
    client_certificate text        check (postrider.is_sealed(client_certificate) or postrider.is_pem(client_certificate)),
    description        text        check (char_length(description) <= 500),
    paused_at          timestamptz,
    allow_http         boolean,
    allow_cidr         cidr[]      check (cardinality(allow_cidr) between 1 and 100),
    template_no        integer,
    on_failed          text        not null default 'block' check (on_failed in (
        'block',      -- a delivery that failed holds up its key until it is retried or skipped
        'continue')), -- after the last attempt the key goes on
    constraint endpoint_id_check check (case when template_no is null then id ~ '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$'
        else id ~ '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}/.' and octet_length(id) <= 320 end),
    -- An endpoint of a template has the template's settings. Nothing of them is copied, so nothing can differ.
    constraint settings_are_its_own_or_the_templates check (template_no is not null or (url is not null and secret is not null)),
    constraint signing_key_has_a_public_key check ((signing_key is null) = (public_key is null))
);
comment on table postrider.endpoint is
    'The receivers of events. The table holds signing secrets, so postrider_reader cannot read it. Change it with '
    'postrider.put_endpoint and its siblings.';
comment on column postrider.endpoint.endpoint_no is 'Private short key.';
comment on column postrider.endpoint.id is
    'Name of the endpoint, chosen by its owner: 1 to 64 of [A-Za-z0-9._-], not starting with a full stop. An endpoint of a template is '
    'called TEMPLATE/VALUE.';
comment on column postrider.endpoint.url is
    'https://host/path, at most 2048 bytes, no credentials, no fragment. http:// works only where the dispatcher runs with '
    '--allow-http. A name in braces, as in http://{destination}:8080/, makes a template; null: an endpoint of one.';
comment on column postrider.endpoint.topics is
    'Up to 100 patterns. An event is delivered once, however many patterns match. Empty: only events whose destination names this '
    'endpoint.';
comment on column postrider.endpoint.headers is 'Object of strings, sent as headers of every request.';
comment on column postrider.endpoint.secret is
    'Signing secret: whsec_ and base64 of 24 to 64 bytes, or sealed; postrider.rotate_secret changes it without a gap.';
comment on column postrider.endpoint.max_in_flight is 'Most requests under way at once, 1 to 10000, over all dispatchers.';
comment on column postrider.endpoint.rate_limit is 'Most requests per s, m or h over all dispatchers, such as 50/s; null: no limit.';
comment on column postrider.endpoint.timeout is
    'Longest time of one whole attempt, 100 ms to 5 min; null: the dispatcher''s --request-timeout.';
comment on column postrider.endpoint.retry_schedule is
    '1 to 50 delays of 1 ms to 7 days before the second, third ... attempt; null: 5s 5m 30m 2h 5h 10h 14h 20h 24h, or '
    'where ordered, at most 5 min each and for as long.';
comment on column postrider.endpoint.ordered is
    'Whether deliveries of one key are attempted one after the other, in order of the events'' ids.';
comment on column postrider.endpoint.state is
    'enabled, paused, disabled or deleted. Deliveries wait while paused or disabled; nothing is dropped.';
comment on column postrider.endpoint.reason is
    'Why the endpoint is paused or disabled. Postrider disables it after 410 Gone, or after nothing but failures for --disable-after.';
comment on column postrider.endpoint.created_at is 'When the endpoint was first put.';
comment on column postrider.endpoint.changed_at is 'When the endpoint last changed.';
comment on column postrider.endpoint.disabled_at is 'When Postrider last disabled the endpoint.';
comment on column postrider.endpoint.format is 'Form of the request: webhook, cloudevents-binary or cloudevents-structured.';
comment on column postrider.endpoint.signing_key is
    'Key that signs with ed25519 (v1a of Standard Webhooks) beside the secret: whsk_ and base64 of seed and public key, or sealed; '
    'null: no such signature.';
comment on column postrider.endpoint.public_key is 'Key that verifies the ed25519 signature: whpk_ and base64 of 32 bytes. Not a secret.';
comment on column postrider.endpoint.auth is
    'The login at the endpoint: JSON of type basic, bearer or oauth2 as postrider.is_auth checks it, or sealed; null: no login.';
comment on column postrider.endpoint.ca_certificates is
    'PEM: the only authorities that are trusted for this endpoint; null: the system''s.';
comment on column postrider.endpoint.client_certificate is
    'PEM: the certificate that Postrider shows this endpoint, its chain and its private key, or sealed; null: no certificate.';
comment on column postrider.endpoint.description is 'A note for people, at most 500 characters.';
comment on column postrider.endpoint.paused_at is 'When somebody last paused the endpoint, while it was not paused.';
comment on column postrider.endpoint.allow_http is
    'Of a template: false forbids plain http, whatever run allows; null and true leave it to run.';
comment on column postrider.endpoint.allow_cidr is
    'Of a template: 1 to 100 ranges, of which an address must be in one, and run must allow it as well; null leaves it to run.';
comment on column postrider.endpoint.on_failed is
    'What a delivery that failed for good does to its key, while the endpoint is ordered: block (the key waits until somebody retries or '
    'skips it) or continue.';
comment on column postrider.endpoint.template_no is
    'The template, of an endpoint that an event for TEMPLATE/VALUE made. Its settings are those of the template.';

-- A deleted endpoint leaves its row behind, so that its history keeps its name. The id is free again.
create unique index endpoint_by_id on postrider.endpoint (id) where state <> 'deleted';
-- Only endpoints of templates have entries.
create index endpoint_by_template on postrider.endpoint (template_no) where template_no is not null;

-- Dispatchers route by a copy of the endpoints. The version tells them that the copy is old. The ring makes them look at once.
create trigger endpoint_changed after update or delete or truncate on postrider.endpoint
    for each statement execute function postrider.endpoint_changed();
create trigger endpoint_added after insert on postrider.endpoint referencing new table as added
    for each statement execute function postrider.endpoint_changed();
-- Sessions that load rows as a replica does change endpoints, too.
alter table postrider.endpoint enable always trigger endpoint_changed;
alter table postrider.endpoint enable always trigger endpoint_added;
comment on trigger endpoint_changed on postrider.endpoint is 'Makes every dispatcher read the endpoints again.';
comment on trigger endpoint_added on postrider.endpoint is
    'Makes every dispatcher read the endpoints again, unless only endpoints of templates were added.';

-- An operator who resumes or changes an endpoint wants to see the effect now. A deleted endpoint needs no circuit.
create trigger forget_circuit after update on postrider.endpoint
    for each row when (new.state in ('enabled', 'deleted')) execute function postrider.forget_circuit();
alter table postrider.endpoint enable always trigger forget_circuit;
comment on trigger forget_circuit on postrider.endpoint is 'Closes the circuit of an endpoint that was resumed, changed or deleted, or whose template was.';

-- Functions that run with the rights of their owner change endpoints. Dispatchers themselves write state and reason.
grant select, update on postrider.endpoint to postrider_dispatcher;

-- Each statement that changes endpoints adds one row, and no other session waits for it. The version of the endpoints in a snapshot
-- counts the rows that the snapshot shows. So it grows exactly when a change is committed.
create table postrider.endpoint_change (
    id bigint generated always as identity primary key
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
comment on table postrider.endpoint_change is
    'One row per change of the endpoints since the rows before were added to installation.endpoint_version. Private.';
comment on column postrider.endpoint_change.id is 'Private key.';
grant select, update, delete on postrider.endpoint_change to postrider_dispatcher;

create table postrider.old_secret (
    endpoint_no integer     not null references postrider.endpoint (endpoint_no) on delete cascade,
    secret      text        not null check (postrider.is_signing_secret(secret)),
    valid_until timestamptz not null,
    primary key (endpoint_no, secret)
);
comment on table postrider.old_secret is 'Secrets that were rotated out but still sign beside the new one. Private.';
comment on column postrider.old_secret.endpoint_no is 'The endpoint.';
comment on column postrider.old_secret.secret is 'Signing secret.';
comment on column postrider.old_secret.valid_until is 'The secret signs until then.';
grant select on postrider.old_secret to postrider_dispatcher;
-- Dispatchers that have a key seal a secret that stands in the clear.
grant update (secret) on postrider.old_secret to postrider_dispatcher;
