create or replace function postrider.are_topic_patterns(patterns text[]) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return (select coalesce(bool_and(p is not null and octet_length(p) <= 128
            and p ~ '^(([A-Za-z0-9_-]+|\*)\.)*([A-Za-z0-9_-]+|\*|\*\*)$'), true)
        from unnest(patterns) as p);
comment on function postrider.are_topic_patterns(text[]) is
    'Whether each pattern is dotted words of [A-Za-z0-9_-] or * (exactly one word). ** (one or more words) is allowed at the end or '
    'alone.';
revoke all on function postrider.are_topic_patterns(text[]) from public;
grant execute on function postrider.are_topic_patterns(text[]) to postrider_dispatcher;
