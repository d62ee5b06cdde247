//! Events that cannot be written: the statement fails in one clear line, or the row is skipped and counted.

use crate::support::{Database, SHORT_LEASE, one_endpoint};

use super::told::{attach, attached, told, told_as};

const THING: &str = "create table thing (id int primary key, kind text, body text)";
const KINDS: &str = "'thing', topic => 'thing.{kind}', payload => 'body'";

/// How many rows were skipped, and why, of each statement.
async fn skipped(database: &Database) -> Vec<String> {
    let query = "select row_count || ' ' || reason from postrider.row_skipped order by id";
    database.rows(query, &[]).await.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_topic_that_is_none_fails_the_statement_in_one_line() {
    let database = attached(THING, KINDS).await;

    let refusal = database.refusal("insert into thing values (1, 'fine', '1'), (2, 'not so', '2')").await;

    assert_eq!(refusal.code().code(), "22023");
    assert_eq!(
        refusal.message(),
        "table public.thing is attached to Postrider, and 'thing.not so' is no topic: a topic is dotted words of [A-Za-z0-9_-], at most 128 bytes"
    );
    assert_eq!(refusal.detail(), None);
    assert_eq!(database.value::<i64>("select count(*) from thing").await, 0);
    assert_eq!(told(&database).await, [""; 0]);
}

#[tokio::test]
async fn a_row_that_is_skipped_is_counted_and_its_statement_goes_on() {
    let database = attached(THING, &format!("{KINDS}, on_error => 'skip'")).await;

    database
        .execute(
            "insert into thing values (1, 'a', '1'), (2, 'not so', '2'), (3, null, '3'), (4, 'b', '4'), (5, 'c', 'no json');
             update thing set body = '[]', kind = case when id < 3 then 'd' else 'no topic' end;
             delete from thing",
        )
        .await;

    assert_eq!(
        told_as(&database, "concat_ws(' ', topic, payload)").await,
        ["thing.a 1", "thing.b 4", "thing.d []", "thing.d []", "thing.d []", "thing.d []"]
    );
    assert_eq!(skipped(&database).await, ["3 22P02", "3 22023", "3 22023"]);
}

/// Nothing of a row stands in what is kept about its failure.
#[tokio::test]
async fn no_value_is_kept_of_a_row_that_is_skipped() {
    let database = attached(THING, &format!("{KINDS}, on_error => 'skip'")).await;

    database.execute("insert into thing values (1, 'secret kind', '1'), (2, 'x', 'secret body')").await;

    assert!(
        !database
            .is("select exists (select from postrider.row_skipped as s where s::text like '%secret%')")
            .await
    );
}

/// The transaction is done again by whoever wrote it, and nothing is lost.
#[tokio::test]
async fn a_failed_serialisation_is_not_skipped() {
    let database = attached(THING, &format!("{KINDS}, on_error => 'skip'")).await;
    database
        .execute(
            "create function public.late() returns trigger language plpgsql as
             $$ begin raise exception 'late' using errcode = '40001'; end $$;
             create trigger late before insert on postrider.outbox for each row execute function public.late()",
        )
        .await;

    let refusal = database.refusal("insert into thing values (1, 'a', '1')").await;

    assert_eq!(refusal.code().code(), "40001");
    assert_eq!(skipped(&database).await, [""; 0]);
}

#[tokio::test]
async fn text_that_is_no_json_fails_the_statement() {
    let database = attached(THING, KINDS).await;

    let refusal = database.refusal("insert into thing values (1, 'a', 'no json')").await;

    assert_eq!(refusal.code().code(), "22P02");
}

/// Its status could not be written back: an event does not name its row in more than 1024 bytes.
#[tokio::test]
async fn a_primary_key_that_is_too_long_is_refused_where_a_status_is_written() {
    let tables = "create table thing (id text primary key, status text)";
    let before = format!("{tables}; insert into thing values (repeat('a', 2000))");
    let written = attached(&before, "'thing', topic => 'x', status => 'status'").await;
    let unwritten = attached(tables, "'thing', topic => 'x'").await;
    let insert = "insert into thing values (repeat('k', 1500))";

    let refusal = written.refusal(insert).await;
    // A row that was there before may be given a shorter key, and may go.
    written
        .execute("update thing set id = repeat('b', 900); update thing set id = 'b'; delete from thing")
        .await;
    unwritten.execute(insert).await;

    assert!(
        refusal.message().starts_with("table public.thing is attached to Postrider, and the primary key "),
        "{}",
        refusal.message()
    );
    assert_eq!(told_as(&unwritten, "coalesce(row_key, 'none')").await, ["none"]);
    let mut told = told_as(&written, "coalesce(octet_length(row_key)::text, 'none')").await;
    told.sort();
    assert_eq!(told, ["6", "6", "905", "905", "none"]);
}

/// A condition of the user's that raises is told as PostgreSQL tells it, with the function's name beside it.
#[tokio::test]
async fn a_condition_that_raises_fails_the_statement() {
    let database = attached(THING, "'thing', topic => 'x', when_sql => '1 / (new.id - 1) > 0'").await;

    let refusal = database.refusal("insert into thing values (1, 'a', '1')").await;

    assert_eq!(refusal.code().code(), "22012");
}

/// Triggers note each failure on its own. A dispatcher adds them up, so that they stay few.
#[tokio::test]
async fn skipped_rows_are_added_up_and_told_in_the_log() {
    let (database, _receiver, dispatcher) = one_endpoint("", &SHORT_LEASE).await;
    database.execute(THING).await;
    attach(&database, &format!("{KINDS}, on_error => 'skip'")).await;
    let counted = "select rows_skipped from postrider.attached_table";

    database.execute("insert into thing values (1, 'not so', '1'), (2, null, '2')").await;
    database.execute("insert into thing values (3, 'no topic', '3')").await;
    let at_once: i64 = database.value(counted).await;
    database.until("select not exists (select from postrider.row_skipped)").await;

    assert_eq!(at_once, 3);
    assert_eq!(database.value::<i64>(counted).await, 3);
    assert!(
        database
            .is("select last_error like '%rows were skipped, SQLSTATE 22023' from postrider.attached_table")
            .await
    );
    dispatcher.logged("rows of attached table public.thing sent no event: SQLSTATE 22023").await;
}
