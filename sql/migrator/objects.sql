-- does:   makes the table of applied functions and views, and three procedures, in a transaction that migrates. drop_procedures.sql
--         drops the procedures again.
--         apply_object makes a function or view if its text differs from the applied one.
--         drop_object drops one, with our objects that are built on it. It refuses if anything else is built on it.
--         drop_other_objects drops those for which Postrider has no file any more.
-- locks:  none for long (see begin.sql)
-- repeat: the same
create table if not exists postrider.schema_object (
    kind       text        not null check (kind in ('function', 'view')),
    name       text        not null,
    identity   text        not null,
    digest     text        not null,
    applied_by text        not null,
    applied_at timestamptz not null default now(),
    primary key (kind, name)
);
comment on table postrider.schema_object is 'One row per function and view of this schema, as the migrator applied it last. Private.';
comment on column postrider.schema_object.kind is 'function or view.';
comment on column postrider.schema_object.name is 'Name of the object. Its text is the file of this name under sql/schema.';
comment on column postrider.schema_object.identity is 'The name as PostgreSQL looks it up, with the types of the arguments.';
comment on column postrider.schema_object.digest is 'SHA-256 of the text that was applied.';
comment on column postrider.schema_object.applied_by is 'The version of Postrider that applied it.';
comment on column postrider.schema_object.applied_at is 'When the migrator applied it.';

create procedure postrider.drop_object(kind text, identity text)
language plpgsql set search_path = pg_catalog, pg_temp as $procedure$
declare
    built_on text[];
    left_over text[];
    foreign_object text;
    dropped  text;
begin
    -- Everything that depends on it, directly or not. A view's dependencies belong to its rule. A view's row type goes with it.
    with recursive dependent (class, id) as (
        select case drop_object.kind when 'view' then 'pg_class'::regclass::oid else 'pg_proc'::regclass::oid end,
               case drop_object.kind when 'view' then to_regclass(drop_object.identity)::oid
                                     else to_regprocedure(drop_object.identity)::oid end
        union
        select case when r.oid is null then d.classid else 'pg_class'::regclass::oid end, coalesce(r.ev_class, d.objid)
        from dependent as t
        join pg_depend as d on d.refclassid = t.class and d.refobjid = t.id
        left join pg_rewrite as r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
    ), known as (
        select t.class, t.id, case when o.name is not null then o.kind || ' ' || o.identity end as ours
        from dependent as t
        left join postrider.schema_object as o on t.class = 'pg_class'::regclass and o.kind = 'view' and to_regclass(o.identity) = t.id
            or t.class = 'pg_proc'::regclass and o.kind = 'function' and to_regprocedure(o.identity) = t.id
        where not exists (select from pg_type as y
                          where t.class = 'pg_type'::regclass and y.oid = t.id and (y.typrelid <> 0 or y.typcategory = 'A'))
    )
    select array_agg(k.ours) filter (where k.ours is not null),
           min(pg_describe_object(k.class, k.id, 0)) filter (where k.ours is null)
    into built_on, foreign_object
    from known as k;
    if foreign_object is not null then
        raise exception '% is built on % %, which is to be dropped or made anew', foreign_object, drop_object.kind, drop_object.identity
            using errcode = 'dependent_objects_still_exist',
                  hint = 'Drop it, migrate, and make it again.';
    end if;
    -- "cascade" would also drop objects that somebody makes meanwhile. An object that others are built on goes in a later pass.
    while cardinality(built_on) > 0 loop
        left_over := '{}';
        foreach dropped in array built_on loop
            begin
                execute 'drop ' || dropped;
                delete from postrider.schema_object as o where o.kind || ' ' || o.identity = dropped;
            exception when dependent_objects_still_exist then
                if cardinality(built_on) = 1 then
                    raise;
                end if;
                left_over := left_over || dropped;
            end;
        end loop;
        if left_over = built_on then
            raise exception 'cannot drop %: somebody is just building on them', array_to_string(built_on, ', ')
                using errcode = 'dependent_objects_still_exist';
        end if;
        built_on := left_over;
    end loop;
end
$procedure$;

create procedure postrider.apply_object(kind text, name text, applied_by text, definition text)
language plpgsql set search_path = pg_catalog, pg_temp as $procedure$
declare
    wanted  constant text := encode(sha256(convert_to(definition, 'UTF8')), 'hex');
    old     postrider.schema_object;
    before  oid[];
    made    text;
    problem text;
begin
    select o.* into old from postrider.schema_object as o where o.kind = apply_object.kind and o.name = apply_object.name;
    if old.digest = wanted
       and (old.kind = 'view' and to_regclass(old.identity) is not null
            or old.kind = 'function' and to_regprocedure(old.identity) is not null) then
        return;
    end if;
    before := array(select p.oid from pg_proc as p
                    where p.pronamespace = 'postrider'::regnamespace and p.proname = apply_object.name);
    -- "create or replace" keeps grants and all that is built on the object. It cannot do so for other arguments, another result
    -- or other columns. Then the object is dropped and made anew, and end.sql grants again what was granted.
    begin
        execute definition;
        if old.kind = 'function' and to_regprocedure(old.identity) is not null and exists (
            select from pg_proc as p
            where p.pronamespace = 'postrider'::regnamespace and p.proname = apply_object.name and p.oid <> all (before))
        then
            raise exception 'function % has other arguments now', old.identity using errcode = 'invalid_function_definition';
        end if;
    exception when invalid_function_definition or invalid_table_definition or wrong_object_type then
        if old.name is null then
            raise;
        end if;
        call postrider.drop_object(old.kind, old.identity);
        execute definition;
    end;
    if kind = 'view' then
        made := format('postrider.%I', apply_object.name);
    else
        -- The function that was not there before, or else the one that was replaced.
        select p.oid::regprocedure::text into made
        from pg_proc as p
        where p.pronamespace = 'postrider'::regnamespace and p.proname = apply_object.name
        order by p.oid = any (before), p.oid::regprocedure::text <> old.identity
        limit 1;
    end if;
    insert into postrider.schema_object as o (kind, name, identity, digest, applied_by)
    values (apply_object.kind, apply_object.name, made, wanted, apply_object.applied_by)
    on conflict on constraint schema_object_pkey do update
    set identity = excluded.identity, digest = excluded.digest, applied_by = excluded.applied_by, applied_at = now();
end
$procedure$;

create procedure postrider.drop_other_objects(kept text[])
language plpgsql set search_path = pg_catalog, pg_temp as $procedure$
declare
    gone postrider.schema_object;
    lost text;
begin
    for gone in select o.* from postrider.schema_object as o where o.kind || ' ' || o.name <> all (kept) loop
        if gone.kind = 'view' and to_regclass(gone.identity) is not null
           or gone.kind = 'function' and to_regprocedure(gone.identity) is not null then
            call postrider.drop_object(gone.kind, gone.identity);
        end if;
        delete from postrider.schema_object as o where o.kind = gone.kind and o.name = gone.name;
    end loop;
    select string_agg(k.object, ', ') into lost
    from unnest(kept) as k (object)
    where k.object not in (select o.kind || ' ' || o.name from postrider.schema_object as o);
    if lost is not null then
        raise exception '% was dropped with something that it is built on, and comes before that in the list', lost;
    end if;
end
$procedure$;
