-- does:   lists sequences that would give out ids which are taken (postrider.lagging_sequences)
-- params: none
-- rows:   row text: a JSON object of relation, sequence, next_id, highest_id: one per sequence
-- locks:  none
-- repeat: the same
select to_json(l)::text as row from postrider.lagging_sequences() as l
