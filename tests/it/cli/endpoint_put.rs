//! `postrider endpoint put`: what it accepts, and how it refuses the rest: exit code 64, one line for each fault, that
//! names the argument, what is wrong and what is allowed.

use serde_json::json;

use crate::support::{CommandOutput, Database, SECRET};

/// Nobody answers here: whoever asks the database before the arguments are judged ends with exit code 1.
const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";

const URL: &str = "https://example.com/hook";

#[tokio::test]
async fn an_endpoint_is_created_once_and_then_unchanged() {
    let database = Database::new().await;
    let args = put(&["--topics", "order.*,invoice.**", "--secret", SECRET]);

    let first = CommandOutput::run(&database.url, &args).await;
    let second = CommandOutput::run(&database.url, &args).await;

    assert_eq!((first.stdout.as_str(), second.stdout.as_str()), ("one created\n", "one unchanged\n"));
}

#[tokio::test]
async fn what_is_typed_is_what_is_stored() {
    let database = Database::new().await;
    let args = put(&[
        "--topics",
        "order.*,invoice.**",
        "--secret",
        SECRET,
        "--max-in-flight",
        "7",
        "--rate-limit",
        "50/s",
        "--timeout",
        "3s",
        "--retry-schedule",
        "5s,5m,1h 30m",
        "--ordered",
        "--on-failed",
        "continue",
        "--header",
        "X-One: 1",
        "--header",
        "x-two:  a: b ",
        "--description",
        "Theirs: ask #orders",
    ]);

    let output = CommandOutput::run(&database.url, &args).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    database
        .assert_row(
            "select id, url, topics, secret, max_in_flight, rate_limit, timeout, retry_schedule, headers, state,
                     description, ordered, on_failed
             from postrider.endpoint",
            json!({
                "id": "one", "url": URL, "topics": ["order.*", "invoice.**"], "secret": SECRET, "max_in_flight": 7,
                "rate_limit": "50/s", "timeout": "00:00:03", "retry_schedule": ["00:00:05", "00:05:00", "01:30:00"],
                "headers": {"X-One": "1", "x-two": "a: b"}, "state": "enabled", "ordered": true, "on_failed": "continue",
                "description": "Theirs: ask #orders"
            }),
        )
        .await;
}

#[tokio::test]
async fn a_generated_secret_is_shown_once() {
    let database = Database::new().await;

    let first = CommandOutput::run(&database.url, &put(&[])).await;
    let second = CommandOutput::run(&database.url, &put(&["--max-in-flight", "2"])).await;

    let secret: String = database.value("select secret from postrider.endpoint").await;
    assert!(first.stdout.contains(&secret), "{}", first.stdout);
    assert_eq!(second.stdout, "one changed\nmax_in_flight: 64 -> 2\n");
}

#[tokio::test]
async fn json_shows_what_was_done_and_the_new_secret() {
    let database = Database::new().await;

    let output = CommandOutput::run(&database.url, &put(&["--json"])).await;

    let secret: String = database.value("select secret from postrider.endpoint").await;
    assert_eq!(
        output.json(),
        serde_json::json!({ "endpoint_id": "one", "result": "created", "secret": secret })
    );
}

#[tokio::test]
async fn an_id_that_is_none_is_refused() {
    for id in ["", " ", "a b", ".a", "a/b", "ä", &"x".repeat(65)] {
        let output = CommandOutput::run(NOWHERE, &["endpoint", "put", id, "--url", URL]).await;

        assert_refused(&output, "id", &format!("{id:?}"));
    }
}

#[tokio::test]
async fn a_url_that_cannot_be_called_is_refused() {
    for url in [
        "",
        "example.com/hook",
        "//example.com/",
        "https://",
        "ftp://example.com/",
        "file:///etc/passwd",
        "mailto:a@b",
        "https://user:pass@example.com/",
        "https://example.com/#part",
        "https://exa mple.com/",
        "https://example.com\\x",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://a..b/",
        "https://[::1",
        "https:///example.com/",
    ] {
        let output = CommandOutput::run(NOWHERE, &["endpoint", "put", "one", "--url", url]).await;

        assert_refused(&output, "url", url);
    }
}

#[tokio::test]
async fn a_url_that_needs_leave_is_refused_with_the_flag_that_gives_it() {
    for (url, flag) in [
        ("http://example.com/", "--allow-http"),
        ("https://127.0.0.1/", "--allow-cidr"),
        ("https://10.0.0.1/", "--allow-cidr"),
        ("https://[::1]/", "--allow-cidr"),
        ("https://169.254.169.254/latest/meta-data", "--allow-cidr"),
    ] {
        let output = CommandOutput::run(NOWHERE, &["endpoint", "put", "one", "--url", url]).await;

        assert_refused(&output, "url", url);
        assert!(output.complaint().contains(flag), "{url}: {}", output.stderr);
    }
}

#[tokio::test]
async fn a_url_with_leave_is_accepted() {
    let database = Database::new().await;
    let args =
        ["endpoint", "put", "one", "--url", "http://10.1.2.3/", "--allow-http", "--allow-cidr", "10.0.0.0/8"];

    let output = CommandOutput::run(&database.url, &args).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

#[tokio::test]
async fn a_topic_pattern_that_is_none_is_refused() {
    for topics in ["", "a..b", "a b", ".a", "**.a", "a.**.b", "a*", "order.*,in voice", &"x".repeat(129)] {
        let output = CommandOutput::run(NOWHERE, &put(&["--topics", topics])).await;

        assert_refused(&output, "topics", topics);
    }
}

#[tokio::test]
async fn a_retry_schedule_that_is_none_is_refused() {
    for schedule in ["", "5", "5s,5", "0s", "0", "5s,", "-5s", "8days", "5 parsecs", "5s;5m"] {
        let output = CommandOutput::run(NOWHERE, &put(&[&format!("--retry-schedule={schedule}")])).await;

        assert_refused(&output, "retry_schedule", schedule);
    }
}

#[tokio::test]
async fn a_retry_schedule_has_at_most_50_delays() {
    let schedule = vec!["1s"; 51].join(",");

    let output = CommandOutput::run(NOWHERE, &put(&["--retry-schedule", &schedule])).await;

    assert_refused(&output, "retry_schedule", "51 delays");
}

#[tokio::test]
async fn a_timeout_that_is_none_is_refused() {
    for timeout in ["", "15", "0s", "99ms", "6m", "-1s", "soon"] {
        let output = CommandOutput::run(NOWHERE, &put(&[&format!("--timeout={timeout}")])).await;

        assert_refused(&output, "timeout", timeout);
    }
}

#[tokio::test]
async fn a_limit_that_is_none_is_refused() {
    for (name, flag, value) in [
        ("max_in_flight", "--max-in-flight", "0"),
        ("max_in_flight", "--max-in-flight", "10001"),
        ("max_in_flight", "--max-in-flight", "-1"),
        ("max_in_flight", "--max-in-flight", "many"),
        ("rate_limit", "--rate-limit", ""),
        ("rate_limit", "--rate-limit", "50"),
        ("rate_limit", "--rate-limit", "0/s"),
        ("rate_limit", "--rate-limit", "050/s"),
        ("rate_limit", "--rate-limit", "+50/s"),
        ("rate_limit", "--rate-limit", "50/d"),
        ("rate_limit", "--rate-limit", "99999999/s"),
    ] {
        let output = CommandOutput::run(NOWHERE, &put(&[&format!("{flag}={value}")])).await;

        assert_refused(&output, name, value);
    }
}

#[tokio::test]
async fn an_endless_description_is_refused() {
    let description = "ä".repeat(501);

    let output = CommandOutput::run(NOWHERE, &put(&["--description", &description])).await;

    assert_refused(&output, "description", "501 characters");
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_refused() {
    for header in [
        "",
        "no colon",
        ": no name",
        "two words: x",
        "Host: x",
        "content-type: x",
        "Webhook-Id: x",
        "postrider-attempt: 1",
        "Proxy-Authorization: x",
        "x-a: ä",
        "x-a: one\r\nx-b: two",
    ] {
        let output = CommandOutput::run(NOWHERE, &put(&["--header", header])).await;

        assert_refused(&output, "headers", header);
    }
}

#[tokio::test]
async fn a_secret_that_is_none_is_refused_without_showing_it() {
    for secret in [
        "hunter2hunter2hunter2hunter2hunter2",
        "whsec_hunter2",
        "whsec_!!hunter2hunter2hunter2hunter2",
        "whsec_aHVudGVyMmh1bnRlcjI=",
    ] {
        let output = CommandOutput::run(NOWHERE, &put(&["--secret", secret])).await;

        assert_refused(&output, "secret", secret);
        assert!(!output.stderr.contains(secret), "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_secret_in_the_place_of_a_header_is_not_shown() {
    let output = CommandOutput::run(NOWHERE, &put(&["--header", SECRET])).await;

    assert_refused(&output, "headers", "a secret");
    assert!(!output.stderr.contains(SECRET), "{}", output.stderr);
}

#[tokio::test]
async fn order_is_switched_off_by_the_same_flag_and_what_follows_a_failure_is_kept() {
    let database = Database::new().await;
    for (flags, told) in [
        (&["--on-failed", "continue"][..], "one created\n"),
        (&["--ordered"], "one changed\nordered: false -> true\n"),
        (&["--max-in-flight", "64"], "one unchanged\n"),
        (&["--ordered=false"], "one changed\nordered: true -> false\n"),
        (&["--ordered=true"], "one changed\nordered: false -> true\n"),
    ] {
        let named = [flags, &["--secret", SECRET]].concat();

        let output = CommandOutput::run(&database.url, &put(&named)).await;

        assert_eq!(output.stdout, told, "{flags:?}: {}", output.stderr);
    }
    let shown = CommandOutput::run(&database.url, &["endpoint", "show", "one"]).await.stdout;
    let line =
        |name: &str| shown.lines().find_map(|line| line.trim_start().strip_prefix(name)).map(str::trim);
    assert_eq!((line("ordered"), line("on failed")), (Some("yes"), Some("continue")), "{shown}");
    assert_eq!(line("retry schedule"), Some("5s, then 1088 times 4m 10s"), "{shown}");
    let neither = CommandOutput::run(&database.url, &put(&["--ordered=maybe"])).await;
    assert_eq!(neither.code, Some(64), "{}", neither.stderr);
}

#[tokio::test]
async fn a_word_that_says_nothing_about_failed_deliveries_is_refused() {
    let output = CommandOutput::run(NOWHERE, &put(&["--ordered", "--on-failed", "stop"])).await;

    assert_refused(&output, "on_failed", "stop");
}

#[tokio::test]
async fn all_faults_are_reported_at_once() {
    let args = [
        "endpoint",
        "put",
        "a b",
        "--url",
        "ftp://x/",
        "--topics",
        "a..b",
        "--secret",
        "no",
        "--max-in-flight",
        "0",
        "--rate-limit",
        "fast",
        "--timeout",
        "5",
        "--retry-schedule",
        "5",
        "--header",
        "no colon",
        "--allow-cidr",
        "here",
    ];

    let output = CommandOutput::run("", &args).await;

    assert_eq!(output.code, Some(64), "{}", output.stderr);
    let mut named: Vec<&str> =
        output.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            "allow_cidr",
            "database_url",
            "headers",
            "id",
            "max_in_flight",
            "rate_limit",
            "retry_schedule",
            "secret",
            "timeout",
            "topics",
            "url",
        ]
    );
}

#[tokio::test]
async fn nothing_is_written_when_an_argument_is_refused() {
    let database = Database::new().await;

    let output = CommandOutput::run(&database.url, &put(&["--header", "Host: x"])).await;

    assert_ne!(output.code, Some(0));
    database.assert_row("select count(*) from postrider.endpoint", json!({"count": 0})).await;
}

/// `endpoint put one --url …` and more.
fn put<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["endpoint", "put", "one", "--url", URL].into_iter().chain(more.iter().copied()).collect()
}

/// It is wrong usage, and the one line about it names the argument.
fn assert_refused(output: &CommandOutput, name: &str, given: &str) {
    assert_eq!(output.code, Some(64), "{given}: {}", output.stderr);
    let complaint = output.complaint();
    let (named, _) = complaint.split_once(':').unwrap();
    assert_eq!(named, name, "{given}: {complaint}");
}
