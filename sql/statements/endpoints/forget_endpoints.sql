-- does:   removes the rows of endpoints that were deleted long ago (postrider.forget_endpoints)
-- params: $1 deleted_ms bigint: deleted at least this long ago
-- rows:   one: forgotten bigint
-- locks:  the rows removed
-- repeat: changes nothing
select postrider.forget_endpoints(now() - $1::bigint * interval '1 millisecond') as forgotten
