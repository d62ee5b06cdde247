create or replace function postrider.is_auth(auth text) returns boolean
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
    'Whether the text is JSON of type basic (username, password), bearer (token) or oauth2 (token_url, client_id, client_secret, '
    'perhaps scope), or sealed.';
revoke all on function postrider.is_auth(text) from public;
grant execute on function postrider.is_auth(text) to postrider_dispatcher;
