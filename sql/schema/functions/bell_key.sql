create or replace function postrider.bell_key() returns bigint
language sql immutable parallel safe
return pg_catalog.hashtextextended('postrider.bell', 0);
comment on function postrider.bell_key() is
    'Key of the bell''s advisory lock. The leading dispatcher holds it exclusively while it sleeps; producers that did not ring share '
    'it. Private.';
revoke all on function postrider.bell_key() from public;
grant execute on function postrider.bell_key() to postrider_producer, postrider_dispatcher;
