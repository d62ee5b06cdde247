//! What `GET /metrics` says of a dispatcher itself, compared with what happened.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::support::{Database, Dispatcher, Receiver, SECRET, Scraped, eventually, get, one_endpoint};

/// Attempted once, and then not again while a test runs.
const ONCE: &str = "retry_schedule => '{1d}'";

const OUTCOMES: [&str; 7] =
    ["success", "redirect", "client_error", "server_error", "timeout", "no_answer", "refused_address"];

#[tokio::test]
async fn attempts_are_counted_by_what_they_came_to() {
    let database = Database::new().await;
    let [success, redirect, client_error, server_error, timeout] = [(); 5].map(|()| Receiver::start());
    let (success, redirect, client_error, server_error, timeout) =
        tokio::join!(success, redirect, client_error, server_error, timeout);
    redirect.answer(302);
    client_error.answer(404);
    server_error.answer(503);
    timeout.hold();
    database.put_endpoint("success", &success.url(), "**", ONCE).await;
    database.put_endpoint("redirect", &redirect.url(), "**", ONCE).await;
    database.put_endpoint("client_error", &client_error.url(), "**", ONCE).await;
    database.put_endpoint("server_error", &server_error.url(), "**", ONCE).await;
    database.put_endpoint("timeout", &timeout.url(), "**", &format!("{ONCE}, timeout => '100ms'")).await;
    database.put_endpoint("no_answer", &nobody_listens().await, "**", ONCE).await;
    database.put_endpoint("refused_address", "http://10.1.2.3/", "**", ONCE).await;
    let dispatcher = Dispatcher::start(&database, &[]).await;

    // As many as each of them has letters, so that none is taken for another.
    for name in OUTCOMES {
        database
            .execute(&format!(
                "insert into postrider.outbox (topic, payload, destination)
                 select 'a.b', '{{}}', '{name}' from generate_series(1, {})",
                name.len()
            ))
            .await;
    }
    let total: usize = OUTCOMES.iter().map(|name| name.len()).sum();
    database.until(&format!("select count(*) = {total} from postrider.attempt_log")).await;

    let scraped = Scraped::of(&dispatcher).await;
    for name in OUTCOMES {
        let series = format!("postrider_attempts_total{{outcome=\"{name}\"}}");
        assert_eq!(scraped.value(&series), Some(float(name.len())), "{name}");
    }
    assert_eq!(scraped.value("postrider_attempt_duration_seconds_count"), Some(float(total)));
    assert_eq!(scraped.value("postrider_delivery_latency_seconds_count"), Some(float("success".len())));
}

#[tokio::test]
async fn a_latency_is_counted_from_the_insert_and_a_duration_from_the_request() {
    let (database, receiver, dispatcher) = one_endpoint("", &[]).await;
    receiver.answer_after(Duration::from_millis(50));

    database.insert_many("order.created", 20).await;
    database
        .execute(
            "insert into postrider.outbox (topic, payload, created_at)
             values ('order.created', '{}', now() - interval '1 hour')",
        )
        .await;
    database.until_settled().await;

    let scraped = Scraped::of(&dispatcher).await;
    let of = |series: &str| scraped.value(series).unwrap();
    assert_eq!(of("postrider_delivery_latency_seconds_count").to_bits(), 21_f64.to_bits());
    let (latency, duration) =
        (of("postrider_delivery_latency_seconds_sum"), of("postrider_attempt_duration_seconds_sum"));
    assert!((1.0..60.0).contains(&duration), "{duration}");
    assert!((3600.0 + duration..3660.0 + duration).contains(&latency), "{latency}");
}

#[tokio::test]
async fn what_was_to_be_held_back_is_not_late() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;

    database
        .execute(
            "insert into postrider.outbox (topic, payload, created_at, deliver_after)
             values ('order.created', '{}', now() - interval '2 hours', now() - interval '1 hour')",
        )
        .await;
    database.until_settled().await;

    let latency = Scraped::of(&dispatcher).await.value("postrider_delivery_latency_seconds_sum").unwrap();
    assert!((3600.0..3660.0).contains(&latency), "{latency}");
}

#[tokio::test]
async fn batches_add_up_to_what_was_routed_claimed_and_settled() {
    let (database, _receiver, dispatcher) = one_endpoint("", &[]).await;
    database.insert_many("order.created", 40).await;
    database.until_settled().await;
    database.execute("select postrider.pause_endpoint('one')").await;
    database.insert_many("order.created", 300).await;
    database.until("select pending = 300 from postrider.backlog").await;

    database.execute("select postrider.resume_endpoint('one')").await;
    database.until_settled().await;

    // A batch is counted when its answer has come, a moment after others can see it.
    Scraped::until(&dispatcher, "all outcomes counted", |scraped| {
        scraped.value("postrider_settled_batch_size_sum") == Some(340.0)
    })
    .await;
    let scraped = Scraped::of(&dispatcher).await;
    let claimed = |stage| scraped.value(&format!("postrider_claimed_batch_size_sum{{stage=\"{stage}\"}}"));
    assert_eq!((claimed("route"), claimed("claim")), (Some(340.0), Some(300.0)));
    assert_eq!(scraped.value("postrider_lost_claims_total"), Some(0.0));
}

#[tokio::test]
async fn a_lost_lease_and_what_it_cost_are_counted() {
    let flags = ["--lease", "4s", "--request-timeout", "2s"];
    let (database, receiver, still) = one_endpoint("", &flags).await;
    receiver.hold();
    database.insert("order.created", "1").await;
    receiver.next().await;
    still.signal("STOP").await;
    let _other = Dispatcher::start(&database, &flags).await;
    receiver.next().await;

    // Its request has timed out by now: it has an outcome to write.
    still.signal("CONT").await;
    still.logged("their claims were lost").await;
    still.logged("lease lost").await;

    let scraped = Scraped::of(&still).await;
    assert_eq!(scraped.value("postrider_lost_claims_total"), Some(1.0));
    assert!(scraped.value("postrider_lease_lost_total") > Some(0.0));
}

#[tokio::test]
async fn naps_and_rings_are_counted() {
    let flags = ["--wake", "notify", "--poll-interval", "1h", "--lease", "6s", "--request-timeout", "3s"];
    let (database, receiver, leader) = one_endpoint("", &flags).await;
    database.until_bell_is_armed().await;
    let sibling = Dispatcher::start(&database, &flags).await;
    leader.logged("2 dispatchers share the endpoints").await;
    // Rung by the producer, unless it meets the leader awake: it looks again whenever the other shows itself.
    eventually("the leader hears a producer", || async {
        database.until_bell_is_armed().await;
        database.insert("order.created", "{}").await;
        receiver.next().await;
        Scraped::of(&leader).await.value("postrider_notifications_received_total").unwrap() >= 1.0
    })
    .await;

    let _producer = database.keep_the_leader_awake().await;
    let before = Scraped::of(&sibling).await.value("postrider_notifications_received_total").unwrap();
    database.insert("order.created", "{}").await;
    receiver.next().await;

    Scraped::until(&leader, "it naps", |scraped| scraped.value("postrider_unarmed_sleeps_total") > Some(0.0))
        .await;
    Scraped::until(&leader, "it rings", |scraped| {
        scraped.value("postrider_notifications_sent_total") > Some(0.0)
    })
    .await;
    Scraped::until(&sibling, "it hears", |scraped| {
        scraped.value("postrider_notifications_received_total") > Some(before)
    })
    .await;
}

#[tokio::test]
async fn a_dispatcher_says_how_it_is_woken() {
    let database = Database::new().await;

    let rung = Dispatcher::start(&database, &["--wake", "notify"]).await;
    let polling = Dispatcher::start(&database, &["--wake", "poll"]).await;
    let sleeping = Dispatcher::spawn(&database.url, &["--wake", "sleep"]);
    sleeping.logged(" runs, schema version").await;

    Scraped::until(&rung, "it leads", |scraped| scraped.value("postrider_is_leader") == Some(1.0)).await;
    assert_eq!(Scraped::of(&polling).await.value("postrider_is_leader"), Some(0.0));
    for (dispatcher, expected) in
        [(&rung, [1.0, 0.0, 0.0]), (&polling, [0.0, 1.0, 0.0]), (&sleeping, [0.0, 0.0, 1.0])]
    {
        let scraped = Scraped::of(dispatcher).await;
        let modes = ["notify", "poll", "sleep"]
            .map(|mode| scraped.value(&format!("postrider_wake_mode{{mode=\"{mode}\"}}")).unwrap());
        assert_eq!(modes.map(f64::to_bits), expected.map(f64::to_bits));
    }
}

#[tokio::test]
async fn a_lost_listening_connection_is_counted() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &["--wake", "notify"]).await;

    database
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name = 'postrider listener'",
        )
        .await;

    Scraped::until(&dispatcher, "it listens again", |scraped| {
        scraped.value("postrider_listen_reconnects_total") > Some(0.0)
            && scraped.value("postrider_wake_mode{mode=\"notify\"}") == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn the_desk_says_what_is_held_and_what_is_under_way() {
    let (database, receiver, dispatcher) = one_endpoint("max_in_flight => 3", &[]).await;
    receiver.hold();

    database.insert_many("order.created", 3).await;
    for _ in 0..3 {
        receiver.next().await;
    }

    let scraped = Scraped::of(&dispatcher).await;
    let load = (scraped.value("postrider_attempts_in_flight"), scraped.value("postrider_claimed_deliveries"));
    assert_eq!(load, (Some(3.0), Some(3.0)));
}

#[tokio::test]
async fn failures_of_an_endpoint_are_counted_until_it_succeeds() {
    let (database, receiver, dispatcher) = one_endpoint("retry_schedule => '{1ms,1ms}'", &[]).await;
    receiver.answer(500);
    database.insert("order.created", "{}").await;
    database.until_settled().await;
    Scraped::until(&dispatcher, "one failed delivery, three failed attempts", |scraped| {
        scraped.value("postrider_endpoint_consecutive_failures{endpoint=\"one\"}") == Some(3.0)
            && scraped.value("postrider_endpoint_failed_24h{endpoint=\"one\"}") == Some(1.0)
            && scraped.value("postrider_backlog_failed") == Some(1.0)
    })
    .await;

    receiver.answer(200);
    database.insert("order.created", "{}").await;

    Scraped::until(&dispatcher, "no failure since", |scraped| {
        scraped.value("postrider_endpoint_consecutive_failures{endpoint=\"one\"}") == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn metrics_show_nothing_of_events_and_endpoints_but_their_ids() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    receiver.answer_once(500, &[], b"confidential answer");
    let url = format!("{}/confidential?token=confidential", receiver.url());
    let headers = "headers => '{\"authorization\": \"confidential\"}', retry_schedule => '{1ms}'";
    database.put_endpoint("one", &url, "**", headers).await;
    let dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("confidential.topic", "{\"a\": \"confidential\"}").await;
    database.until_settled().await;
    Scraped::until(&dispatcher, "the endpoint", |s| s.count("postrider_endpoint_enabled") == 1).await;

    let text = Scraped::of(&dispatcher).await.text;
    for secret in ["confidential", "127.0.0.1", "http:", "whsec_", SECRET] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn metrics_are_the_text_that_prometheus_reads() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;

    let response = get(&format!("http://{}/metrics", dispatcher.api().await)).await;

    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = response.text().await.unwrap();
    let helps = text.lines().filter(|line| line.starts_with("# HELP ")).count();
    let types = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert_eq!(helps, types);
    assert!(text.contains(concat!("postrider_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n")));
}

/// A URL whose port is free.
async fn nobody_listens() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

fn float(count: usize) -> f64 {
    u32::try_from(count).unwrap().into()
}
