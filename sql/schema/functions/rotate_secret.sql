create or replace function postrider.rotate_secret(
    id text, secret text default null, overlap interval default interval '24 hours',
    out endpoint_id text, out new_secret text, out old_valid_until timestamptz
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    old postrider.endpoint;
begin
    select * into old from postrider.endpoint as e where e.id = rotate_secret.id and e.state <> 'deleted' for no key update;
    if old.endpoint_no is null then
        raise exception 'endpoint "%" does not exist', left(rotate_secret.id, 64) using errcode = 'no_data_found';
    end if;
    if old.template_no is not null then
        raise exception 'endpoint "%" has the secret of its template: rotate that of "%"', old.id, split_part(old.id, '/', 1)
            using errcode = 'invalid_parameter_value';
    end if;
    if rotate_secret.secret is not null and not postrider.is_signing_secret(rotate_secret.secret) then
        raise exception 'endpoint "%": invalid secret', old.id
            using errcode = 'invalid_parameter_value', detail = 'Allowed is secret: whsec_ followed by base64 of 24 to 64 bytes';
    end if;
    if coalesce(rotate_secret.overlap not between interval '0' and interval '30 days', true) then
        raise exception 'endpoint "%": invalid overlap', old.id
            using errcode = 'invalid_parameter_value', detail = 'Allowed is overlap: 0 to 30 days';
    end if;
    endpoint_id := old.id;
    new_secret := coalesce(rotate_secret.secret, postrider.random_secret());
    old_valid_until := clock_timestamp() + rotate_secret.overlap;
    -- Without an overlap no old secret is trusted any more. Earlier ones go too.
    delete from postrider.old_secret as s
    where s.endpoint_no = old.endpoint_no
      and (rotate_secret.overlap = interval '0' or s.valid_until <= clock_timestamp()
           or s.secret in (old.secret, rotate_secret.new_secret));
    -- Receivers compare one signature after the other, so four old ones and the new one are enough.
    delete from postrider.old_secret as s
    where s.endpoint_no = old.endpoint_no and s.secret in (
        select more.secret from postrider.old_secret as more where more.endpoint_no = old.endpoint_no
        order by more.valid_until desc offset 3);
    if new_secret <> old.secret and rotate_secret.overlap > interval '0' then
        insert into postrider.old_secret (endpoint_no, secret, valid_until) values (old.endpoint_no, old.secret, old_valid_until);
    end if;
    update postrider.endpoint as e set secret = rotate_secret.new_secret, changed_at = now() where e.endpoint_no = old.endpoint_no;
end
$$;
comment on function postrider.rotate_secret(text, text, interval) is
    'Gives an endpoint a new signing secret, generated unless given. The old secret signs requests too until the overlap (0 to 30 days) '
    'ends. Without an overlap no earlier secret signs any more. Returns (endpoint_id, new_secret, old_valid_until). Raises P0002 for an '
    'unknown id, 22023 for an invalid argument, or for an endpoint of a template, whose secret is the template''s.';
revoke all on function postrider.rotate_secret(text, text, interval) from public;
grant execute on function postrider.rotate_secret(text, text, interval) to postrider_dispatcher;
