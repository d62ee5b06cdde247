//! The tables of an application, and how they are attached.

use crate::support::{Database, login_clause};

/// Tables whose changes become events, and what logical decoding calls them. Statements may name a partition, too.
pub(crate) const DECODED: [(&str, &[&str]); 5] = [
    ("item", &["app.item"]),
    ("child", &["app.child"]),
    ("mark", &["app.mark"]),
    ("swap", &["app.swap"]),
    ("part", &["app.part_eu_low", "app.part_eu_high", "app.part_us", "app.part_rest"]),
];

/// The columns of the primary key of such a table.
pub(crate) fn key_of(table: &str) -> &'static [&'static str] {
    if table == "part" { &["region", "id"] } else { &["id"] }
}

/// Rows that many sessions change. A trigger of the application's own changes some of them and leaves out others.
const CHANGED: &str = "
    create type app.colour as enum ('red', 'green', 'blue');
    create table app.item (
        id integer primary key, grp integer not null, name text, amount numeric(12, 2), data jsonb, \"Flag Day\" boolean, born date,
        raw bytea, address inet, colour app.colour, doc text, size integer generated always as (length(name)) stored);
    create function app.tidy() returns trigger language plpgsql as
        $$ begin if new.name = 'Nobody' then return null; end if; new.name := lower(new.name); return new; end $$;
    create trigger tidy before insert or update on app.item for each row execute function app.tidy();
    create table app.child (
        id integer primary key, item_id integer references app.item on delete cascade on update cascade,
        heir_id integer references app.item on delete set null on update cascade, note text);
    create table app.mark (
        id integer primary key, one_id integer references app.item on delete set null on update cascade,
        two_id integer references app.item on delete set null on update cascade);
    create table app.swap (id integer primary key deferrable, note text, n integer);
    create table app.part (region text, id integer, note text, n integer, primary key (region, id)) partition by list (region);
    create table app.part_eu partition of app.part for values in ('eu') partition by range (id);
    create table app.part_eu_low partition of app.part_eu for values from (minvalue) to (20);
    create table app.part_eu_high partition of app.part_eu for values from (20) to (maxvalue);
    create table app.part_us partition of app.part for values in ('us');
    create table app.part_rest partition of app.part default;";

/// Rows that get a status. A trigger of the application's own locks another row with each of them, also when the status is written.
const WORKED: &str = "
    create type app.work_status as enum ('pending', 'in_progress', 'complete', 'failed');
    create table app.work (
        id integer primary key, content jsonb not null, status app.work_status, target text not null, owner_no integer not null);
    create table app.note (work_id integer not null references app.work on delete cascade, note text);
    create table app.total (owner_no integer primary key, changes bigint not null default 0);
    create table app.ledger (session_no integer not null, changes integer not null);
    create function app.add_up() returns trigger language plpgsql security definer as
        $$ begin update app.total set changes = changes + 1 where owner_no = coalesce(new.owner_no, old.owner_no); return null; end $$;
    create trigger add_up after insert or update or delete on app.work for each row execute function app.add_up();";

/// Makes the tables, as a role of the application's own, and attaches them. Returns the URL of that role.
pub(crate) async fn prepare(database: &Database, users: u64) -> String {
    let login = login_clause(&database.url);
    database.execute(&format!("create role app {login}; create schema app authorization app")).await;
    let totals = format!("insert into app.total select generate_series(0, {users})");
    database.execute(&format!("set role app; {CHANGED} {WORKED} {totals}; reset role")).await;
    for (table, leaves) in DECODED {
        for leaf in leaves {
            database.execute(&format!("alter table {leaf} replica identity full")).await;
        }
        attach(database, table, "payload => 'change'").await;
    }
    let write_back =
        "payload => 'content', destination => '{target}', status => 'status', write_back => 'all'";
    attach(database, "work", write_back).await;
    crate::support::as_role(&database.url, "app")
}

async fn attach(database: &Database, table: &str, more: &str) {
    let sql = format!(
        "select postrider.attach_table('app.{table}', topic => 'change.{table}', on_ops => '{{insert,update,delete}}', {more})"
    );
    database.execute(&sql).await;
}
