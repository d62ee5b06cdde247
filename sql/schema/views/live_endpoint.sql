-- The one place that says what an endpoint of a template has of its template: every setting; and its pause, while it has none of its own.
-- Any other endpoint is joined with itself.
create or replace view postrider.live_endpoint as
select e.endpoint_no,
       e.id,
       case when e.template_no is null then e.url else coalesce(postrider.child_url(s.url, e.id), s.url) end as url,
       s.topics,
       s.headers,
       s.max_in_flight,
       s.rate_limit,
       s.timeout,
       s.retry_schedule,
       s.ordered,
       s.on_failed,
       s.format,
       s.public_key,
       s.auth is not null as has_auth,
       s.ca_certificates,
       s.client_certificate is not null as has_client_certificate,
       s.description,
       s.allow_http,
       s.allow_cidr,
       case when e.state = 'enabled' then s.state else e.state end as state,
       case when e.state = 'enabled' then s.reason else e.reason end as reason,
       case when e.state = 'enabled' then s.changed_at else e.changed_at end as changed_at,
       case when e.state = 'enabled' then s.disabled_at else e.disabled_at end as disabled_at,
       case when e.state = 'enabled' then s.paused_at else e.paused_at end as paused_at,
       case when e.template_no is not null then s.id end as template_id,
       e.template_no is null and postrider.is_template(e.url) as is_template
from postrider.endpoint as e
join postrider.endpoint as s on s.endpoint_no = coalesce(e.template_no, e.endpoint_no)
where e.state <> 'deleted' and s.state <> 'deleted';
comment on view postrider.live_endpoint is
    'One row per endpoint that is not deleted, with the settings that count for it; an endpoint of a template has those of its template. '
    'Private.';
comment on column postrider.live_endpoint.endpoint_no is 'Private short key.';
comment on column postrider.live_endpoint.id is 'The endpoint.';
comment on column postrider.live_endpoint.url is 'Where its deliveries go.';
comment on column postrider.live_endpoint.topics is 'As postrider.endpoint.topics.';
comment on column postrider.live_endpoint.headers is 'As postrider.endpoint.headers.';
comment on column postrider.live_endpoint.max_in_flight is 'As postrider.endpoint.max_in_flight.';
comment on column postrider.live_endpoint.rate_limit is 'As postrider.endpoint.rate_limit.';
comment on column postrider.live_endpoint.timeout is 'As postrider.endpoint.timeout.';
comment on column postrider.live_endpoint.retry_schedule is 'As postrider.endpoint.retry_schedule.';
comment on column postrider.live_endpoint.ordered is 'As postrider.endpoint.ordered.';
comment on column postrider.live_endpoint.on_failed is 'As postrider.endpoint.on_failed.';
comment on column postrider.live_endpoint.format is 'As postrider.endpoint.format.';
comment on column postrider.live_endpoint.public_key is 'As postrider.endpoint.public_key.';
comment on column postrider.live_endpoint.has_auth is 'Whether it has a login.';
comment on column postrider.live_endpoint.ca_certificates is 'As postrider.endpoint.ca_certificates.';
comment on column postrider.live_endpoint.has_client_certificate is 'Whether it has a certificate to show.';
comment on column postrider.live_endpoint.description is 'A note for people.';
comment on column postrider.live_endpoint.allow_http is 'As postrider.endpoint.allow_http.';
comment on column postrider.live_endpoint.allow_cidr is 'As postrider.endpoint.allow_cidr.';
comment on column postrider.live_endpoint.state is 'enabled, paused or disabled; paused with its template.';
comment on column postrider.live_endpoint.reason is 'Why it is paused or disabled.';
comment on column postrider.live_endpoint.changed_at is 'When that changed.';
comment on column postrider.live_endpoint.disabled_at is 'When Postrider last disabled it.';
comment on column postrider.live_endpoint.paused_at is 'When somebody last paused it, or its template.';
comment on column postrider.live_endpoint.template_id is 'Its template; null: it is of none.';
comment on column postrider.live_endpoint.is_template is 'Whether it is a template.';
revoke all on postrider.live_endpoint from public;
grant select on postrider.live_endpoint to postrider_dispatcher;
