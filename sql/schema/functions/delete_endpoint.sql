create or replace function postrider.delete_endpoint(id text, out endpoint_id text, out pending bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone_no  integer;
    gone_nos integer[];
begin
    -- The URL and the headers may hold a secret, so they go too.
    update postrider.endpoint as e
    set state = 'deleted', reason = 'deleted', secret = postrider.random_secret(), url = 'https://deleted.invalid/',
        headers = '{}', signing_key = null, public_key = null, auth = null, ca_certificates = null, client_certificate = null,
        changed_at = now()
    where e.id = delete_endpoint.id and e.state <> 'deleted'
    returning e.endpoint_no, e.id into gone_no, endpoint_id;
    if not found then
        raise exception 'endpoint "%" does not exist', left(delete_endpoint.id, 64) using errcode = 'no_data_found';
    end if;
    delete from postrider.old_secret as s where s.endpoint_no = gone_no;
    if exists (select from postrider.endpoint as e where e.template_no = gone_no and e.state <> 'deleted') then
        update postrider.endpoint as e set state = 'deleted', reason = 'deleted', changed_at = now()
        where e.template_no = gone_no and e.state <> 'deleted';
    end if;
    gone_nos := gone_no || array(select e.endpoint_no from postrider.endpoint as e where e.template_no = gone_no);
    select count(*) into pending
    from postrider.waiting_delivery as d
    where d.endpoint_no = any (gone_nos);
end
$$;
comment on function postrider.delete_endpoint(text) is
    'Deletes an endpoint and its secrets, and with a template all of its endpoints. No more events are routed to it. The dispatchers '
    'give its waiting deliveries up as failed (pending: how many). Its history stays, and the id is free. Returns '
    '(endpoint_id, pending). Raises P0002 for an unknown id.';
revoke all on function postrider.delete_endpoint(text) from public;
grant execute on function postrider.delete_endpoint(text) to postrider_dispatcher;
