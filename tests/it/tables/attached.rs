//! Attached tables for tests.

use crate::support::{Database, Dispatcher, Receiver};

/// The table that Postrider was made for.
pub(super) const CONFIGURATION_UPDATE: &str =
    "create type configuration_update_status as enum ('pending', 'in_progress', 'complete', 'failed');
     create table configuration_update (id serial primary key, content jsonb, status configuration_update_status, destination inet)";

/// Attaches it, so that rows that are pending are sent.
pub(super) const ATTACHED: &str = "'configuration_update', 'configuration.updated', status => 'status', when_sql => 'new.status = ''pending'''";

/// Nothing is waiting to be written, and every event is finished.
pub(super) const ALL_WRITTEN: &str = "select not exists (select from postrider.row_due)
    and not exists (select from postrider.outbox where status in ('pending', 'in_progress'))";

/// A database with that table, attached, and an endpoint `one` that gets every event.
pub(super) async fn configuration_update(more: &str) -> (Database, Receiver) {
    let (database, receiver) = one_endpoint(more).await;
    database.execute(CONFIGURATION_UPDATE).await;
    attach(&database, ATTACHED).await;
    (database, receiver)
}

/// The same with a dispatcher.
pub(super) async fn dispatched(more: &str) -> (Database, Receiver, Dispatcher) {
    let (database, receiver) = configuration_update(more).await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    (database, receiver, dispatcher)
}

/// A database with an endpoint `one` that gets every event; `more` as in [`Database::put_endpoint`].
pub(super) async fn one_endpoint(more: &str) -> (Database, Receiver) {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", more).await;
    database.execute(BY_HAND).await;
    (database, receiver)
}

/// Attaches a table; `arguments` are those of `attach_table`.
pub(super) async fn attach(database: &Database, arguments: &str) {
    database.execute(&format!("select public.attach_by_hand({arguments})")).await;
}

/// Inserts pending rows into `configuration_update`, and returns the id of the first.
pub(super) async fn insert_pending(database: &Database, count: usize) -> i32 {
    let insert = format!(
        "with row as (insert into configuration_update (content, status)
                      select '{{}}', 'pending' from generate_series(1, {count}) returning id)
         select min(id) from row"
    );
    database.value(&insert).await
}

/// Whether every row of `configuration_update` has a status.
pub(super) fn all_are(status: &str) -> String {
    format!("select bool_and(status = '{status}') from configuration_update")
}

/// As `attach_table` does it, as far as write-back is concerned.
const BY_HAND: &str = r"
create function public.attach_by_hand(
    relation regclass, topic text, destination text default null, status text default null, status_map jsonb default '{}',
    write_back text default null, on_ops text[] default '{insert,update}', when_sql text default 'true') returns void
language plpgsql as $f$
declare
    keys name[] := array(
        select a.attname from pg_index as i cross join unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where i.indrelid = relation and i.indisprimary order by k.place);
    no integer;
    op text;
begin
    insert into postrider.attachment (relation, topic, payload, destination, status_column, status_map, write_back, on_ops, when_sql,
        key_columns, known_columns)
    values (relation, topic, 'row', destination, status, status_map,
        coalesce(write_back, case when status is null then 'none' else 'all' end), on_ops, when_sql, keys, '[]')
    returning attachment_no into no;
    execute format(
        $c$create function public.postrider_capture_%1$s() returns trigger language plpgsql security definer
            set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO' set bytea_output = 'hex' as $t$
            #variable_conflict use_column
            begin
                insert into postrider.outbox (topic, payload, destination, row_key)
                select %2$L, to_json(new), %3$L, %1$L || json_build_array(%4$s)::text from new_rows as new where %5$s;
                return null;
            end $t$$c$,
        no, topic, destination, (select string_agg(format('new.%I::text', k.name), ', ') from unnest(keys) as k (name)), when_sql);
    foreach op in array on_ops loop
        execute format(
            $t$create trigger postrider_%1$s after %1$s on %2$s referencing new table as new_rows for each statement
                when (pg_catalog.current_setting('postrider.write_back', true) is distinct from %3$L or pg_catalog.pg_trigger_depth() > 0)
                execute function public.postrider_capture_%3$s()$t$, op, relation, no);
    end loop;
end
$f$";
