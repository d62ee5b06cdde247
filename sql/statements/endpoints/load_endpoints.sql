-- does:   reads all endpoints and the version of that set
-- params: none
-- rows:   endpoint_version bigint, endpoint_no int, id, url, topics text[], headers text (a JSON object), secret, old_secrets
--         text[] and old_valid_ms bigint[] (how long each still signs; null if there are none), max_in_flight int, rate_limit,
--         timeout_ms bigint, retry_schedule_ms bigint[], on_failed (null: not ordered), state, format, signing_key, auth,
--         ca_certificates, client_certificate, allow_http boolean, allow_cidr text[], template_no int; one per endpoint, or one whose
--         endpoint_no is null. Where template_no is set, the settings are that template's, and all but endpoint_version, endpoint_no, id and state is null.
-- locks:  none
-- repeat: the same
with version as materialized (
    select v.version from postrider.endpoint_version as v
)
select v.version as endpoint_version,
       e.endpoint_no,
       e.id,
       -- One that UTF-8 does not have costs its own endpoint: nobody calls an empty URL.
       case when postrider.readable(e.url) = e.url then e.url else '' end as url,
       e.topics,
       e.headers::text as headers,
       e.secret,
       old.secrets as old_secrets,
       old.valid_ms as old_valid_ms,
       e.max_in_flight,
       e.rate_limit,
       (extract(epoch from e.timeout) * 1000)::bigint as timeout_ms,
       case when e.retry_schedule is not null then (
           select array_agg((extract(epoch from s.delay) * 1000)::bigint order by s.position)
           from unnest(e.retry_schedule) with ordinality as s (delay, position)) end as retry_schedule_ms,
       case when e.ordered then e.on_failed end as on_failed,
       e.state,
       e.format,
       e.signing_key,
       case when postrider.readable(e.auth) = e.auth then e.auth when e.auth is not null then '' end as auth,
       e.ca_certificates,
       e.client_certificate,
       e.allow_http,
       e.allow_cidr::text[] as allow_cidr,
       null::integer as template_no
from version as v
left join postrider.endpoint as e on e.state <> 'deleted' and e.template_no is null
left join lateral (
    select array_agg(s.secret order by s.valid_until desc) as secrets,
           array_agg(ceil(extract(epoch from s.valid_until - clock_timestamp()) * 1000)::bigint order by s.valid_until desc) as valid_ms
    from postrider.old_secret as s
    where s.endpoint_no = e.endpoint_no and s.valid_until > clock_timestamp()) as old on true
union all
-- Endpoints of templates are many.
select v.version, e.endpoint_no, e.id, null, null, null, null, null, null, null, null, null, null, null, e.state, null, null, null, null, null,
       null, null, e.template_no
from version as v
join postrider.endpoint as e on e.state <> 'deleted' and e.template_no is not null
