-- does:   sets sequences that lie behind their tables forward (postrider.mend_sequences)
-- params: none
-- rows:   row text: a JSON object of relation, sequence, next_id, highest_id: one per sequence, with the values before
-- locks:  none that others wait for
-- repeat: no rows, because no sequence lies behind
select to_json(m)::text as row from postrider.mend_sequences() as m
