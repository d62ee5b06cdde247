create or replace function postrider.retry_set_aside(stage text default null) returns bigint
language sql volatile set search_path = pg_catalog, pg_temp
begin atomic
    with hastened as (
        update postrider.refused as r
        set retry_at = clock_timestamp()
        where retry_set_aside.stage is null or r.stage = retry_set_aside.stage
        returning r.id
    ), rung as (
        select pg_notify('postrider', '') where exists (select from hastened)
    )
    select count(*) from hastened left join rung on true;
end;
comment on function postrider.retry_set_aside(text) is
    'Makes all rows that were set aside (of one stage, or of all) due for another try at once. Call it after the cause is mended. '
    'Returns how many rows.';
revoke all on function postrider.retry_set_aside(text) from public;
grant execute on function postrider.retry_set_aside(text) to postrider_dispatcher;
