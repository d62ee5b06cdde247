create or replace function postrider.mend_sequences()
returns table (relation text, sequence text, next_id bigint, highest_id bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    lagging record;
    taken   bigint;
begin
    for lagging in select l.* from postrider.lagging_sequences() as l loop
        if lagging.highest_id - lagging.next_id < 10000 then
            -- Other sessions take ids meanwhile and may pass the highest one. setval would then set the sequence back.
            loop
                taken := nextval(lagging.sequence::regclass);
                exit when taken >= lagging.highest_id;
            end loop;
        else
            perform setval(lagging.sequence::regclass, lagging.highest_id);
        end if;
        relation := lagging.relation;
        sequence := lagging.sequence;
        next_id := lagging.next_id;
        highest_id := lagging.highest_id;
        return next;
    end loop;
end
$$;
comment on function postrider.mend_sequences() is
    'Sets each sequence that lies behind its table forward, never back; returns those sequences with their values before. Private: '
    'postrider doctor --mend calls it.';
revoke all on function postrider.mend_sequences() from public;
grant execute on function postrider.mend_sequences() to postrider_dispatcher;
