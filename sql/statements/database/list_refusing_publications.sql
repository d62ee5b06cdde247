-- does:   lists tables of ours that cannot be updated or deleted from, because a publication needs to know which row it was and
--         is not told: the table has no replica identity, or the publication's list of columns or its row filter goes beyond the
--         identity. Also lists tables without an identity that nobody publishes yet.
-- params: none
-- rows:   table_name text; publication text, null if none publishes it yet; reason text: "identity", "columns" or "filter"; by
--         table and publication
-- locks:  none
-- repeat: the same
with ours as (
    select c.oid, c.relname, c.relreplident,
           -- The columns that identify a row. Null if none do.
           case when c.relreplident = 'f' then '{}'::int[]
                else (select array_agg(k.attnum::int) from pg_catalog.pg_index as i cross join lateral unnest(i.indkey) as k (attnum)
                      where i.indrelid = c.oid
                        and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end)
           end as identity
    from pg_catalog.pg_class as c
    where c.relnamespace = to_regnamespace('postrider') and c.relkind in ('r', 'p') and c.relpersistence = 'p'
), published as (
    -- Every version of PostgreSQL shows the columns that it has.
    select o.oid, p.pubname,
           (select array_agg(a.attnum::int) from json_array_elements_text(case json_typeof(to_json(r) -> 'prattrs')
                                                                   when 'array' then to_json(r) -> 'prattrs' end) as a (attnum)) as columns,
           (select array_agg(v.found[1]::int) from regexp_matches(to_json(r) ->> 'prqual', ':varattno ([0-9]+)', 'g') as v (found))
               as filtered
    from pg_catalog.pg_publication as p
    join ours as o on p.puballtables
        or exists (select from pg_catalog.pg_publication_tables as t
                   where t.pubname = p.pubname and t.schemaname = 'postrider' and t.tablename = o.relname)
    left join pg_catalog.pg_publication_rel as r on r.prpubid = p.oid and r.prrelid = o.oid
    where p.pubupdate or p.pubdelete
)
select o.relname::text as table_name, p.pubname::text as publication,
       case when o.identity is null then 'identity'
            when p.columns is not null and (o.relreplident = 'f' or not p.columns @> o.identity) then 'columns'
            else 'filter' end as reason
from ours as o
left join published as p on p.oid = o.oid
where o.identity is null
   or p.columns is not null and (o.relreplident = 'f' or not p.columns @> o.identity)
   or o.relreplident <> 'f' and p.filtered is not null and not o.identity @> p.filtered
order by 1, 2
