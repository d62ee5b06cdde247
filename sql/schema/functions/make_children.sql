-- Dispatchers call it with what events name and they do not know. A child is made once, whoever asks. It has no settings of its own.
create or replace function postrider.make_children(template_nos integer[], ids text[])
returns table (endpoint_no integer, id text, template_no integer, state text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    room bigint;
begin
    -- One call at a time, and each is a short transaction of its own. So none waits for the rows of another in another order, and the
    -- limit holds.
    perform pg_advisory_xact_lock(hashtextextended('postrider.children', 0));
    select case when s.last_value < i.endpoints_max - cardinality(make_children.ids) then cardinality(make_children.ids)
                else greatest(i.endpoints_max - (select count(*) from postrider.endpoint as e where e.state <> 'deleted'), 0) end
    into strict room
    from postrider.installation as i
    cross join postrider.endpoint_endpoint_no_seq as s;
    insert into postrider.endpoint (id, template_no, topics)
    select a.id, t.endpoint_no, '{}'
    from unnest(make_children.template_nos, make_children.ids) as a (template_no, id)
    join postrider.endpoint as t
      on t.endpoint_no = a.template_no and t.state <> 'deleted' and postrider.is_template(t.url) and starts_with(a.id, t.id || '/')
    where not exists (select from postrider.endpoint as e where e.id = a.id and e.state <> 'deleted')
    order by a.id
    limit room
    on conflict do nothing;
    return query
    select e.endpoint_no, e.id, e.template_no, e.state
    from postrider.endpoint as e
    where e.id = any (make_children.ids) and e.state <> 'deleted' and e.template_no is not null;
end
$$;
comment on function postrider.make_children(integer[], text[]) is
    'Makes the endpoints TEMPLATE/VALUE that do not exist, as far as endpoints_max lets it, and returns those that exist. Private.';
revoke all on function postrider.make_children(integer[], text[]) from public;
grant execute on function postrider.make_children(integer[], text[]) to postrider_dispatcher;
