-- A database whose encoding is not UTF-8 may hold bytes that UTF-8 does not have. The server fails a whole answer for one of them. E,
-- because the caller's standard_conforming_strings may be off.
create or replace function postrider.readable(said text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if said is null or getdatabaseencoding() = 'UTF8' then
        return said;
    end if;
    perform convert_to(said, 'UTF8');
    return said;
exception when data_exception then
    return regexp_replace(said, E'[^\\x01-\\x7f]', '?', 'g');
end
$$;
comment on function postrider.readable(text) is
    'Returns a text as it is if UTF-8 has all its characters, or else with a question mark for each that is not ASCII. Private.';
revoke all on function postrider.readable(text) from public;
grant execute on function postrider.readable(text) to postrider_dispatcher;
