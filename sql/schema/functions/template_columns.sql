create or replace function postrider.template_columns(template text) returns text[]
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return array(select m.found[1] from regexp_matches(template, '[{]([^{}]*)[}]', 'g') as m (found));
comment on function postrider.template_columns(text) is
    'Returns what stands in braces in a template, in its order: configuration.{op} has op. Private.';
revoke all on function postrider.template_columns(text) from public;
grant execute on function postrider.template_columns(text) to postrider_reader, postrider_dispatcher;
