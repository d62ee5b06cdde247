create or replace function postrider.topic_regex(patterns text[]) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return (select '^(' || string_agg(replace(replace(replace(p, '.', '\.'), '**', '.+'), '*', '[^.]+'), '|') || ')$'
        from unnest(patterns) as p);
comment on function postrider.topic_regex(text[]) is
    'Returns topic patterns as one regular expression: * is exactly one word, ** one or more; null without patterns. Private.';
revoke all on function postrider.topic_regex(text[]) from public;
grant execute on function postrider.topic_regex(text[]) to postrider_dispatcher;
