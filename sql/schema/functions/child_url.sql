-- The same rules as in src/model/endpoint/template.rs, which makes the URLs that are called.
create or replace function postrider.child_url(template_url text, child_id text) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    value       constant text := substr(child_id, strpos(child_id, '/') + 1) collate "C";
    placeholder constant text := '[{][A-Za-z_][A-Za-z0-9_]*[}]';
    -- Scheme and authority, then path and query.
    front       constant text := substring(template_url collate "C" from '^[^:]*:/*[^/?]*');
    rest        constant text := substr(template_url, char_length(front) + 1);
    encoded     text := value;
    in_host     text;
    filled      text;
begin
    -- E, because the caller's standard_conforming_strings may be off.
    if value = '' or octet_length(value) > 255 or value ~ E'[\\x01-\\x1f\\x7f-\\x9f]'
       or rest ~ placeholder and value ~ '^[.]+$'
       or front ~ (':' || placeholder || '$') and (value !~ '^[1-9][0-9]{0,4}$' or value::integer > 65535) then
        return null;
    end if;
    if value !~ '^[A-Za-z0-9._~-]+$' then
        select string_agg(case when b.byte between 48 and 57 or b.byte between 65 and 90 or b.byte between 97 and 122
                                    or b.byte in (45, 46, 95, 126) then chr(b.byte)
                               else '%' || lpad(upper(to_hex(b.byte)), 2, '0') end, '' order by b.nth)
        into encoded
        from (select g.nth, get_byte(convert_to(value, 'UTF8'), g.nth) as byte
              from generate_series(0, octet_length(convert_to(value, 'UTF8')) - 1) as g (nth)) as b;
    end if;
    in_host := encoded;
    if front ~ ('//*' || placeholder || '(:|$)') and value ~ '^[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*$' then
        begin
            if family(value::inet) <> 6 or value ~ '/' then
                return null;
            end if;
        exception when data_exception then
            return null;
        end;
        in_host := '[' || value || ']';
    elsif front ~ ('^[^:]*:/*[^:]*' || placeholder) and value ~ '[ -,/:-@[-^`{-~]' then
        return null;
    end if;
    filled := regexp_replace(front, placeholder, in_host, 'g') || regexp_replace(rest, placeholder, encoded, 'g');
    return case when postrider.is_endpoint_url(filled) then filled end;
end
$$;
comment on function postrider.child_url(text, text) is
    'The URL of the endpoint TEMPLATE/VALUE: the template''s, with the value in it, percent-encoded; null if the value does not fit there. '
    'Private.';
revoke all on function postrider.child_url(text, text) from public;
grant execute on function postrider.child_url(text, text) to postrider_reader, postrider_dispatcher;
