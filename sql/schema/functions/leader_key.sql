create or replace function postrider.leader_key() returns bigint
language sql immutable parallel safe
return pg_catalog.hashtextextended('postrider.leader', 0);
comment on function postrider.leader_key() is 'Key of the advisory lock that the dispatcher which arms the bell holds. Private.';
revoke all on function postrider.leader_key() from public;
grant execute on function postrider.leader_key() to postrider_dispatcher;
