-- why: least privilege for the three kinds of users. Roles belong to the cluster, so another database may have made them.
-- old code: none.

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

revoke all on all functions in schema postrider from public;
grant usage on schema postrider to postrider_producer, postrider_reader, postrider_dispatcher;

-- Producers may insert what producers say, and read nothing. The trigger runs with their rights.
grant insert (topic, payload, key, headers, idempotency_key, destination, deliver_after)
    on postrider.outbox to postrider_producer;
-- To learn the id of what was inserted by currval(), not by reading the table.
grant usage on sequence postrider.outbox_id_seq to postrider_producer, postrider_dispatcher;
grant execute on function postrider.ring(), postrider.bell_key(), postrider.are_headers_valid(jsonb)
    to postrider_producer, postrider_dispatcher;

grant select on postrider.delivery_status, postrider.attempt_log, postrider.endpoint_health, postrider.backlog,
    postrider.dispatcher_status to postrider_reader, postrider_dispatcher;
grant select (id, created_at, completed_at, deliver_after, deliveries, unsettled, failed, status, topic, key, idempotency_key,
    destination) on postrider.outbox to postrider_reader;
grant execute on function postrider.webhook_id(text, bigint, timestamptz) to postrider_reader, postrider_dispatcher;

grant select, insert, update on postrider.outbox to postrider_dispatcher;
grant select, insert, update, delete on postrider.delivery, postrider.attempt, postrider.claim, postrider.dispatcher
    to postrider_dispatcher;
grant delete on postrider.outbox to postrider_dispatcher;
grant select, update on postrider.endpoint, postrider.installation to postrider_dispatcher;
grant usage on sequence postrider.claim_id_seq to postrider_dispatcher;
grant select on postrider.held_delivery, postrider.schema_history to postrider_dispatcher;
grant execute on function postrider.leader_key(), postrider.are_topic_patterns(text[]),
    postrider.is_retry_schedule(interval[]), postrider.is_signing_secret(text), postrider.endpoint_changed(),
    postrider.put_endpoint(text, text, text[], jsonb, text, integer, text, interval, interval[], boolean),
    postrider.pause_endpoint(text, text), postrider.resume_endpoint(text)
    to postrider_dispatcher;
