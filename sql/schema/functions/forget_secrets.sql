create or replace function postrider.forget_secrets() returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
    delete from postrider.old_secret as s
    using (select o.endpoint_no, o.secret from postrider.old_secret as o
           where o.valid_until <= clock_timestamp()
              or exists (select from postrider.endpoint as e where e.endpoint_no = o.endpoint_no and e.state = 'deleted')
           for update of o skip locked) as past
    where s.endpoint_no = past.endpoint_no and s.secret = past.secret;
end;
comment on function postrider.forget_secrets() is 'Deletes rotated secrets that no longer sign. Private.';
revoke all on function postrider.forget_secrets() from public;
grant execute on function postrider.forget_secrets() to postrider_dispatcher;
