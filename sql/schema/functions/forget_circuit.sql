create or replace function postrider.forget_circuit() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    delete from postrider.circuit as c where c.endpoint_no = new.endpoint_no;
    return null;
end
$$;
comment on function postrider.forget_circuit() is 'Closes the circuit of an endpoint that was resumed, changed or deleted. Private.';
revoke all on function postrider.forget_circuit() from public;
