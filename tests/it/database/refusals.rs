//! A database that is there and refuses what it is asked for: aborted transactions, locks, limits, grants, a schema that
//! changes. The dispatcher goes on as soon as it may.

use tokio_postgres::NoTls;

use crate::support::{Database, Door, Server, Toxics, WatchedDispatcher, eventually};

#[tokio::test]
async fn what_the_server_aborts_is_tried_again() {
    let database = Database::new().await;
    let mut watched = WatchedDispatcher::start(&database.url, &["--poll-interval", "100ms"]).await;
    database
        .execute(
            "create sequence public.refusals;
             create function public.refuse() returns trigger language plpgsql as $$
             begin
                 if nextval('public.refusals') <= 3 then
                     raise exception 'refused for a while' using errcode = tg_argv[0];
                 end if;
                 return null;
             end $$",
        )
        .await;
    let deadlock_serialization_lock_timeout_statement_timeout = ["40P01", "40001", "55P03", "57014"];

    for code in deadlock_serialization_lock_timeout_statement_timeout {
        for table in ["outbox", "delivery", "claim"] {
            database
                .execute(&format!(
                    "alter sequence public.refusals restart;
                     create trigger refuse after insert or update on postrider.{table}
                         for each statement when (pg_trigger_depth() = 0 and current_setting('application_name') = 'postrider')
                         execute function public.refuse('{code}')"
                ))
                .await;
            watched.insert_by(&database).await;

            watched.until_all_arrived().await;
            database.until_settled().await;
            assert!(database.is("select last_value > 3 from public.refusals").await, "{code}, {table}");
            database.execute(&format!("drop trigger refuse on postrider.{table}")).await;
        }
    }
    database.assert_counts_agree().await;
}

#[tokio::test]
async fn a_table_that_is_locked_for_longer_than_a_statement_waits_is_waited_for() {
    let database = Database::new().await;
    let mut watched = WatchedDispatcher::start(&database.url, &[]).await;
    let lock = database.connect().await;
    lock.batch_execute("begin; lock postrider.delivery in access exclusive mode").await.unwrap();
    let begun = watched.count();

    watched.insert_by(&database).await;
    watched.dispatcher.logged("lock timeout").await;
    watched.assert_calm_trouble(&begun).await;
    lock.batch_execute("rollback").await.unwrap();

    watched.until_all_arrived().await;
    watched.until_ready().await;
}

#[tokio::test]
async fn a_role_that_may_not_connect_for_a_while_is_patient() {
    let (database, role, mut watched) = as_a_role().await;
    database.execute(&format!("alter role {role} connection limit 0")).await;
    let begun = watched.count();

    watched.proxy.reset();
    watched.insert_by(&database).await;
    watched.assert_calm_trouble(&begun).await;
    watched.dispatcher.logged("too many connections for role").await;
    database.execute(&format!("alter role {role} connection limit -1")).await;

    watched.until_all_arrived().await;
    watched.until_ready().await;
}

#[tokio::test]
async fn a_role_with_fewer_connections_than_it_would_like_delivers() {
    let (database, role, mut watched) = as_a_role().await;
    database.execute(&format!("alter role {role} connection limit 3")).await;

    watched.proxy.reset();
    for _ in 0..50 {
        watched.insert_by(&database).await;
    }

    watched.until_all_arrived().await;
    database.until_settled().await;
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_waited_for() {
    let server = Server::start_with(&["max_connections=20"]).await;
    let mut watched = WatchedDispatcher::start(server.url(), &[]).await;
    let database = Database::at(server.url()).await;
    watched.proxy.set(Toxics { door: Door::Reset, ..Toxics::default() });
    watched.proxy.reset();
    database.until("select count(*) = 1 from pg_stat_activity where backend_type = 'client backend'").await;
    let mut others = Vec::new();
    // A connection that nobody drives stands all the same.
    while let Ok(other) = tokio_postgres::connect(server.url(), NoTls).await {
        others.push(other);
    }
    let begun = watched.count();

    watched.proxy.heal();
    watched.insert_by(&database).await;
    watched.assert_calm_trouble(&begun).await;
    watched.dispatcher.logged("too many clients").await;
    drop(others);

    watched.until_all_arrived().await;
    watched.until_ready().await;
}

#[tokio::test]
async fn a_column_that_changes_its_type_fails_few_rounds() {
    let database = Database::new().await;
    let mut watched = WatchedDispatcher::start(&database.url, &[]).await;
    watched.insert_by(&database).await;
    watched.until_all_arrived().await;

    for type_name in ["varchar(64)", "text"] {
        database
            .execute(&format!(
                "alter table postrider.outbox alter column destination type {type_name}, add column if not exists note text"
            ))
            .await;
        watched.insert_by(&database).await;

        watched.until_all_arrived().await;
        database.until_settled().await;
    }
    watched.until_ready().await;
    // Found out on all idle connections at once, not on one after the other; one in use may find out by itself.
    let log = watched.dispatcher.log();
    let held_back = log.lines().filter_map(|line| line.split_once("; ")?.1.split_once(" more complaints"));
    let held_back: u32 = held_back.map(|(count, _)| count.parse::<u32>().unwrap()).sum();
    assert!(held_back <= 2, "{log}");
}

#[tokio::test]
async fn a_table_that_is_away_for_a_while_is_named_and_waited_for() {
    let database = Database::new().await;
    let mut watched = WatchedDispatcher::start(&database.url, &[]).await;
    let begun = watched.count();
    database.execute("alter table postrider.delivery rename to delivery_away").await;

    watched.insert_by(&database).await;
    watched.dispatcher.logged("relation \"postrider.delivery\" does not exist").await;
    watched.assert_calm_trouble(&begun).await;
    database.execute("alter table postrider.delivery_away rename to delivery").await;

    watched.until_all_arrived().await;
    watched.until_ready().await;
}

#[tokio::test]
async fn a_grant_that_is_revoked_for_a_while_is_named_and_waited_for() {
    let (database, _role, mut watched) = as_a_role().await;
    let begun = watched.count();
    database.execute("revoke update on postrider.delivery from postrider_dispatcher").await;

    watched.insert_by(&database).await;
    watched.dispatcher.logged("permission denied for table delivery").await;
    watched.dispatcher.logged("grant postrider_dispatcher").await;
    watched.assert_calm_trouble(&begun).await;
    database.execute("grant update on postrider.delivery to postrider_dispatcher").await;

    watched.until_all_arrived().await;
    watched.until_ready().await;
}

#[tokio::test]
async fn hostile_rows_hold_up_no_good_ones() {
    let database = Database::new().await;
    let watched = WatchedDispatcher::start(&database.url, &[]).await;
    let hostile = [
        r#"'order.created', '"\u0000"', null, null, null"#,
        r#"'order.created', '"\ud800"', null, null, null"#,
        "'order.created', ('[' || repeat('[', 3000) || repeat(']', 3000) || ']')::json, null, null, null",
        "'order.created', to_json(repeat('x', 1000000)), null, null, null",
        "'order.created', '{}', jsonb_build_object('x', repeat(' ', 8000)), null, null",
        r#"'order.created', '{}', '{"!#$%": "", "a": " ", "A": "b"}', null, null"#,
        "'order.created', '{}', null, 'no-such-endpoint', null",
        "'order.created', '{}', null, null, '294276-12-31 23:59:59+00'",
        "'order.created', '{}', null, null, '4713-01-01 00:00:00+00 BC'",
    ];

    for row in hostile {
        database
            .execute(&format!(
                "insert into postrider.outbox (topic, payload, headers, destination, deliver_after) values ({row})"
            ))
            .await;
        database.insert("order.good", "1").await;
    }

    let good = || async {
        watched.receiver.all().iter().filter(|r| r.header("postrider-topic") == "order.good").count()
            == hostile.len()
    };
    eventually("the good ones arrive", good).await;
    // All but the one that is not due for a long time.
    database
        .until("select count(*) = 1 from postrider.outbox where status in ('pending', 'in_progress')")
        .await;
    assert_eq!(watched.readiness().await, 200);
}

/// A dispatcher that connects as a role of its own, the role's name, and its database.
async fn as_a_role() -> (Database, String, WatchedDispatcher) {
    let database = Database::new().await;
    let login = database.login(Some("postrider_dispatcher")).await;
    let (_, rest) = login.split_once("://").unwrap();
    let role = rest.split_once([':', '@']).unwrap().0.to_owned();
    let watched = WatchedDispatcher::start_as(&database.url, &login, &["--no-migrate"]).await;
    (database, role, watched)
}
