-- Functions, casts and domains that a condition or a column needs are the owner's code. It runs here as it will run in the trigger: with the
-- owner's rights, in a function that gives no other rights back. A cursor takes one query and no second command, and a condition is
-- planned and not evaluated, because it may fail for a row of nulls.
create or replace function postrider.try_attachment(plan postrider.attachment) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    place    record;
    nulls    constant text := (select string_agg(format('null::%s as %I', k.type, k.name), ', ')
                               from jsonb_to_recordset(plan.known_columns) as k (name text, type text));
    checks   text[] := '{}';
    wrong    text[] := '{}';
    details  text[] := '{}';
    said     text[];
    word     record;
    sandbox  text;
begin
    select c.relowner, n.nspname, pg_get_userbyid(c.relowner) as owner, c.relowner <> me.oid as is_of_another,
           me.rolsuper or has_schema_privilege(c.relowner, n.oid, 'create') and has_schema_privilege(n.oid, 'create') as may_create
    into place
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    join pg_roles as me on me.rolname = current_user
    where c.oid = plan.relation;
    if not place.may_create then
        raise exception 'table %: role % may not create functions in schema %', plan.relation, quote_ident(place.owner), quote_ident(place.nspname)
            using errcode = 'insufficient_privilege', detail = 'The function of the table''s triggers stands there, and is its owner''s',
                  hint = format('grant create on schema %I to %I', place.nspname, place.owner);
    end if;
    if plan.when_sql is not null then
        checks := checks || format(E'select true from (select %1$s) as new cross join (select %1$s) as old where (%2$s\n)', nulls, plan.when_sql);
        wrong := wrong || format('table %s: invalid when_sql', plan.relation);
        details := details || 'Allowed is a condition on new and old, as new.status = ''pending'''::text;
    end if;
    for word in
        select s.status, coalesce(plan.status_map ->> s.status, s.status) as word, k.name, k.type, t.atttypid,
               (select string_agg(format('and (%s) is not false', pg_get_expr(c.conbin, c.conrelid)), ' ')
                from pg_constraint as c
                where c.conrelid = plan.relation and c.contype = 'c' and c.conkey = array[t.attnum]) as constraints,
               (select string_agg(e.enumlabel, ', ' order by e.enumsortorder) from pg_enum as e where e.enumtypid = t.atttypid) as labels
        from unnest('{pending,in_progress,complete,failed}'::text[]) as s (status)
        cross join jsonb_to_recordset(plan.known_columns) as k (name text, type text)
        join pg_attribute as t on t.attrelid = plan.relation and t.attname = k.name
        where k.name = plan.status_column
          and (plan.status_map ? s.status or plan.write_back = 'all' and s.status <> 'pending'
               or plan.write_back = 'final' and s.status in ('complete', 'failed'))
    loop
        checks := checks || format('select (t.%1$I)::text = %2$L %3$s from (select %2$L::%4$s as %1$I) as t',
                                   word.name, word.word, coalesce(word.constraints, ''), word.type);
        wrong := wrong || format('table %s: invalid %s: column "%s" (%s) takes no word "%s" for %s', plan.relation,
                                 case when plan.status_map ? word.status then 'status_map' else 'status' end,
                                 word.name, word.type, left(word.word, 64), word.status);
        details := details || format('Allowed is status_map => ''{"%s": "..."}'' with a word that the column takes%s', word.status,
                                     coalesce(': ' || word.labels, ''));
    end loop;
    if checks = '{}' then
        return;
    end if;
    sandbox := format('%I.postrider_try_%s', place.nspname, pg_backend_pid());
    execute format($made$
        create function %s(checks text[], is_read boolean[]) returns text[]
        language plpgsql security definer set search_path = pg_catalog, %I, pg_temp as $try$
        declare
            query    refcursor;
            is_right boolean;
            said     text[] := pg_catalog.array_fill(null::text, array[pg_catalog.cardinality(checks)]);
        begin
            for n in 1 .. pg_catalog.cardinality(checks) loop
                begin
                    open query for execute checks[n];
                    if is_read[n] then
                        fetch query into is_right;
                        said[n] := case when is_right then null else '' end;
                    end if;
                    close query;
                exception when others then
                    said[n] := case when sqlerrm like 'cannot open %%' then 'it is more than a condition' else sqlerrm end;
                end;
            end loop;
            return said;
        end
        $try$
        $made$, sandbox, place.nspname);
    execute format('revoke all on function %s from public', sandbox);
    if place.is_of_another then
        execute format('alter function %s owner to %I', sandbox, place.owner);
    end if;
    execute format('select %s($1, $2)', sandbox) into said
        using checks, array(select c.query not like 'select true %' from unnest(checks) with ordinality as c (query, n) order by c.n);
    execute format('drop function %s', sandbox);
    for n in 1 .. cardinality(checks) loop
        if said[n] is not null then
            raise exception '%', wrong[n] || coalesce(': ' || nullif(said[n], ''), '')
                using errcode = 'invalid_parameter_value', detail = details[n];
        end if;
    end loop;
end
$$;
comment on function postrider.try_attachment(postrider.attachment) is
    'Tries the condition of an attached table and the words of its status column, with the rights of the table''s owner. Raises 22023. '
    'Private.';
revoke all on function postrider.try_attachment(postrider.attachment) from public;
grant execute on function postrider.try_attachment(postrider.attachment) to postrider_dispatcher;
