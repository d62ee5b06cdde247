//! `config show`: every setting of `run`, and where it comes from; and `completions`, which need no settings.

use postrider::config::defaults;
use serde_json::{Value, json};

use crate::support::{CommandOutput, Folder, command};

/// Nobody answers here: nothing that connects would end well.
const NOWHERE: &str = "postgres://nobody:hunter2@127.0.0.1:1/nothing?connect_timeout=3";

#[tokio::test]
async fn every_setting_of_run_is_shown_with_its_default() {
    let output = CommandOutput::run(NOWHERE, &["config", "show", "--json"]).await;

    let by_default = |value: Value| json!({ "value": value, "source": "default", "from": null });
    let shown = output.json();
    for (name, value) in [
        ("log", json!("info")),
        ("listen_database_url", Value::Null),
        ("api_listen", json!(defaults::API_LISTEN)),
        ("allow_http", json!(false)),
        ("allow_cidr", json!([])),
        ("max_in_flight", json!(defaults::MAX_IN_FLIGHT)),
        ("poll_interval", json!(defaults::POLL_INTERVAL)),
        ("lease", json!(defaults::LEASE)),
        ("grace_period", json!(defaults::GRACE_PERIOD)),
        ("wake", json!(defaults::WAKE)),
        ("request_timeout", json!(defaults::REQUEST_TIMEOUT)),
        ("disable_after", json!(defaults::DISABLE_AFTER)),
        ("retain_complete", json!(defaults::RETAIN_COMPLETE)),
        ("retain_failed", json!(defaults::RETAIN_FAILED)),
        ("no_migrate", json!(false)),
    ] {
        assert_eq!(shown[name], by_default(value), "{name}");
    }
    assert_eq!(shown["database_url"]["from"], "DATABASE_URL");
}

#[tokio::test]
async fn a_value_is_shown_with_the_place_it_comes_from() {
    let folder = Folder::new();
    let file = folder.write(
        "some.toml",
        "lease = \"50s\"\nwake = \"poll\"\nmax_in_flight = 7\nallow_cidr = [\"10.0.0.0/8\"]\npoll_interval = \"3s\"\n",
    );
    let mut show =
        command(&["config", "show", "--json", "--config", &file, "--poll-interval", "2s", "--log", "warn"]);
    show.env("POSTRIDER_DATABASE_URL", NOWHERE)
        .env("POSTRIDER_LEASE", "40s")
        .env("POSTRIDER_POLL_INTERVAL", "5s")
        .env("POSTRIDER_ALLOW_HTTP", "true");

    let output = CommandOutput::of(show).await;

    let shown = output.json();
    for (name, value, source, from) in [
        ("poll_interval", json!("2s"), "flag", "--poll-interval"),
        ("log", json!("warn"), "flag", "--log"),
        ("lease", json!("40s"), "environment", "POSTRIDER_LEASE"),
        ("allow_http", json!(true), "environment", "POSTRIDER_ALLOW_HTTP"),
        (
            "database_url",
            json!("postgres://nobody@127.0.0.1:1/nothing?connect_timeout=3"),
            "environment",
            "POSTRIDER_DATABASE_URL",
        ),
        ("wake", json!("poll"), "file", file.as_str()),
        ("max_in_flight", json!("7"), "file", file.as_str()),
        ("allow_cidr", json!(["10.0.0.0/8"]), "file", file.as_str()),
    ] {
        assert_eq!(shown[name], json!({ "value": value, "source": source, "from": from }), "{name}");
    }
}

#[tokio::test]
async fn a_flag_that_repeats_the_environment_is_still_a_flag() {
    let mut show = command(&["config", "show", "--json", "--database-url", NOWHERE, "--lease", "40s"]);
    show.env("POSTRIDER_LEASE", "40s").env("DATABASE_URL", "postgres://elsewhere@127.0.0.1:1/nothing");

    let output = CommandOutput::of(show).await;

    let shown = output.json();
    assert_eq!(
        (&shown["lease"]["from"], &shown["database_url"]["from"]),
        (&json!("--lease"), &json!("--database-url"))
    );
}

#[tokio::test]
async fn no_password_is_shown() {
    for args in [&["config", "show"][..], &["config", "show", "--json"]] {
        let mut show = command(args);
        show.env("DATABASE_URL", NOWHERE).env("POSTRIDER_LISTEN_DATABASE_URL", NOWHERE);

        let output = CommandOutput::of(show).await;

        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert!(output.stdout.contains("nobody@127.0.0.1"), "{}", output.stdout);
        assert!(!output.stdout.contains("hunter2"), "{}", output.stdout);
    }
}

#[tokio::test]
async fn people_see_a_line_for_each_setting() {
    let output = CommandOutput::run(NOWHERE, &["config", "show", "--lease", "40s"]).await;

    let words = |name: &str| -> Vec<&str> {
        let line = output.stdout.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().collect()
    };
    assert_eq!(words("lease"), ["lease", "40s", "flag", "--lease"]);
    assert_eq!(words("grace_period"), ["grace_period", "20s", "default"]);
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_all_that_is_wrong() {
    let output = CommandOutput::run(
        "",
        &["config", "show", "--lease", "40", "--wake", "never", "--allow-cidr", "here"],
    )
    .await;

    assert_eq!((output.code, output.stdout.as_str()), (Some(64), ""));
    let named: Vec<&str> =
        output.complaints().iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert_eq!(named, ["database_url", "allow_cidr", "lease", "wake"]);
}

#[tokio::test]
async fn a_shell_can_complete_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = CommandOutput::of(command(&["completions", shell])).await;

        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{shell}");
        for word in ["rotate-secret", "replay", "--poll-interval"] {
            let word = if shell == "fish" { word.trim_start_matches("--") } else { word };
            assert!(output.stdout.contains(word), "{shell}: {word}");
        }
    }
}

#[tokio::test]
async fn bash_understands_its_completions() {
    let script = CommandOutput::of(command(&["completions", "bash"])).await.stdout;
    let mut bash = tokio::process::Command::new("bash");
    bash.args([
        "-c",
        "source /dev/stdin && COMP_WORDS=(postrider endpoint rot) COMP_CWORD=2 && _postrider postrider rot endpoint && echo \"${COMPREPLY[@]}\"",
    ]);

    let output = CommandOutput::with_input(bash, script.as_bytes()).await;

    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "rotate-secret\n"), "{}", output.stderr);
}

#[tokio::test]
async fn an_unknown_shell_is_wrong_usage() {
    let output = CommandOutput::of(command(&["completions", "cmd"])).await;

    assert_eq!((output.code, output.stdout.as_str()), (Some(64), ""));
}
