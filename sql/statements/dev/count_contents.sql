-- does:   says what a database holds apart from the endpoint of postrider dev
-- params: $1 but_endpoint text
-- rows:   one: endpoints bigint, has_events boolean
-- locks:  none
-- repeat: the same
select (select count(*) from postrider.endpoint as e where e.state <> 'deleted' and e.id <> $1) as endpoints,
       exists (select from postrider.outbox) as has_events
