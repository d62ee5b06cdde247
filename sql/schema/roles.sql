-- Least privilege for the three kinds of users. This file runs before every migration, because functions and views grant to these
-- roles. Roles belong to the cluster, so another database may have made them.
do $$
declare
    role text;
begin
    foreach role in array array['postrider_producer', 'postrider_reader', 'postrider_dispatcher'] loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = role) then
            begin
                execute format('create role %I nologin', role);
            exception when duplicate_object or unique_violation then
                null; -- Another database of this cluster was faster.
            end;
        end if;
    end loop;
end
$$;
