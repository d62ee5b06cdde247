-- does:   says beforehand that the installation will move (postrider.expect_move)
-- params: $1 within_ms bigint: 0..=604800000; 0 takes it back
-- rows:   one: move_expected_until text, null if it was taken back
-- locks:  the installation row; waits
-- repeat: from now on
select to_json(postrider.expect_move($1::bigint * interval '1 millisecond')) #>> '{}' as move_expected_until
