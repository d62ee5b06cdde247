-- does:   gives up waiting deliveries that must not be attempted any more. Their endpoint was deleted, or their event was
--         cancelled during an attempt (postrider.give_up_deliveries).
-- params: $1 delivery_ids bigint[] (other deliveries among them stay as they are)
-- rows:   one: given_up bigint
-- locks:  for update on the deliveries, then on their events, skipping locked ones; then on the next of their lanes; never waits
-- repeat: gives up those that were locked before
select postrider.give_up_deliveries($1) as given_up
