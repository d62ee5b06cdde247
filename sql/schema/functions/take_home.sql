-- The ids of claims and dispatchers leave a gap. A dispatcher may still run that knows ids from after the moment of the copy, and
-- the same ids must never mean something else. For the same reason it has to read the endpoints again.
create or replace function postrider.take_home(new_name text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    perform postrider.note_restore();
    update postrider.installation as i
    set home_database = (select d.oid from pg_database as d where d.datname = current_database()),
        name = new_name,
        move_expected_until = null,
        endpoint_version = i.endpoint_version + 1000000;
    perform setval('postrider.claim_id_seq', 1000000000 + (
        select greatest(q.last_value, (select max(c.id) from postrider.claim as c)) from postrider.claim_id_seq as q));
    perform setval('postrider.dispatcher_id_seq', 100000 + (
        select greatest(q.last_value, (select max(d.id) from postrider.dispatcher as d)) from postrider.dispatcher_id_seq as q));
end
$$;
comment on function postrider.take_home(text) is
    'Makes this database the home of the installation, under this name. Private: require_home and adopt call it.';
revoke all on function postrider.take_home(text) from public;
