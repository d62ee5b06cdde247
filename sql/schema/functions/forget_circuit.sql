create or replace function postrider.forget_circuit() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    delete from postrider.circuit as c
    where c.endpoint_no = new.endpoint_no
       or c.endpoint_no in (select e.endpoint_no from postrider.endpoint as e where e.template_no = new.endpoint_no);
    return null;
end
$$;
comment on function postrider.forget_circuit() is
    'Closes the circuit of an endpoint that was resumed, changed or deleted, and those of the endpoints of such a template. Private.';
revoke all on function postrider.forget_circuit() from public;
