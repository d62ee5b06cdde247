-- does:   sets sequences that lie behind their tables forward (postrider.mend_sequences)
-- params: none
-- rows:   row text: a JSON object of relation, sequence, next_id, highest_id: one per sequence, as it was
-- locks:  none that anyone waits for
-- repeat: no rows: none lies behind
select to_json(m)::text as row from postrider.mend_sequences() as m
