-- does:   finds the event with an idempotency key
-- params: $1 idempotency_key text
-- rows:   id bigint; no row if there is no such event
-- locks:  none
-- repeat: the same
select o.id from postrider.outbox as o where o.idempotency_key = $1
