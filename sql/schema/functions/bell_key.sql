create or replace function postrider.bell_key() returns bigint
language sql immutable parallel safe
return pg_catalog.hashtextextended('postrider.bell', 0);
comment on function postrider.bell_key() is 'Advisory lock: held exclusively while the leading dispatcher sleeps, shared by producers that did not ring. Private.';
revoke all on function postrider.bell_key() from public;
grant execute on function postrider.bell_key() to postrider_producer, postrider_dispatcher;
