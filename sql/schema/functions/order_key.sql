create or replace function postrider.order_key() returns bigint
language sql immutable parallel safe
return pg_catalog.hashtextextended('postrider.order', 0);
comment on function postrider.order_key() is
    'Key of the advisory lock of the transaction that routes events with a key, while an endpoint is ordered: one at a time. Private.';
revoke all on function postrider.order_key() from public;
grant execute on function postrider.order_key() to postrider_dispatcher;
