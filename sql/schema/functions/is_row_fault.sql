create or replace function postrider.is_row_fault(code text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select code = '53200' or left(code, 2) not in (
        '08', '0A', '25', '26', '28', '2D', '3B', '3D', '3F', '40', '42', '53', '55', '57', '58', '72', 'F0')
$$;
comment on function postrider.is_row_fault(text) is
    'Whether this SQLSTATE says something of one row (a value, a trigger, damage, a code of a user''s own), and not of the statement, the '
    'session or the server. Private.';
revoke all on function postrider.is_row_fault(text) from public;
grant execute on function postrider.is_row_fault(text) to postrider_dispatcher;
