//! Every hostile configuration of a table of 24 kinds (C1 to C24), and what becomes of it: refused with exit code 64 and a line
//! that says what is wrong, before a socket opens; or warned about. What needs a server has a test of its own, named here.

mod rows;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use self::Given::{Endpoint, File, Flags, Tokens, Url, Variable};
use self::Said::{Refused, Taken, Warned};
use self::rows::ROWS;
use crate::project::promises_named::{exists, read};
use crate::support::{CommandOutput, Folder, command};

/// Stands in every place where a password or a secret is, and in no output.
const SECRET: &str = "hunter2";

/// What is given.
#[derive(Debug)]
enum Given {
    /// To `run`.
    Flags(&'static [&'static str]),
    /// As the database.
    Url(&'static str),
    /// In the file.
    File(&'static str),
    /// In the environment.
    Variable(&'static str, &'static str),
    /// In the file of tokens.
    Tokens(&'static str),
    /// To `endpoint put`.
    Endpoint(&'static [&'static str]),
}

/// What is said of it.
#[derive(Debug)]
enum Said {
    /// It is refused, in one line.
    Refused(&'static str),
    /// It is taken, with a warning.
    Warned(&'static str),
    /// It is taken, and nothing is said.
    Taken,
}

/// A kind, by its number.
struct Row {
    number: u32,
    tried: &'static [(Given, Said)],
    /// Tests that show the rest of it.
    tested: &'static [&'static str],
    /// Why what happens is not what the table asks for.
    differs: &'static str,
}

#[tokio::test]
async fn every_kind_of_hostile_configuration_has_its_outcome() {
    // Whoever connects to a database connects here.
    let database = TcpListener::bind("127.0.0.1:0").unwrap();
    database.set_nonblocking(true).unwrap();
    let nowhere = format!("postgres://me@{}/x", database.local_addr().unwrap());
    let mut wrong = Vec::new();

    for row in ROWS {
        for (given, said) in row.tried {
            if let Err(why) = try_out(given, said, &nowhere).await {
                wrong.push(format!("C{} {given:?}: {why}", row.number));
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(database.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn no_kind_is_left_out_and_every_one_is_shown_or_explained() {
    let numbers: Vec<u32> = ROWS.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=24).collect::<Vec<u32>>());

    for row in ROWS {
        assert!(
            !row.tried.is_empty() || !row.tested.is_empty() || !row.differs.is_empty(),
            "C{}",
            row.number
        );
        for test in row.tested {
            assert!(exists(test), "C{}: {test}", row.number);
        }
    }
}

#[tokio::test]
async fn what_is_wrong_in_the_file_on_the_command_line_and_in_other_files_is_said_in_one_go() {
    let folder = Folder::new();
    let tokens = private(&folder, "tokens", "short\n7Hk29fQxZw4Lp1Vb\nhunter2 hunter2 hunter2\n");
    let text = "leese = \"1m\"\nwake = \"poll\"\nwake = \"notify\"\nretain_failed = 3\nlog = \"inof\"\nmax_in_flight = 0\n";
    let file = private(&folder, "some.toml", text);
    let mut run = command(&["run", "--config", &file, "--api-token-file", &tokens, "--poll-interval", "1"]);
    run.env("POSTRIDER_LEASE", "1").env("DATABASE_URL", "postgres://me:hunter2@h:port/x");

    let output = CommandOutput::of(run).await;

    let setting = |line: &&str| line.split_once(':').unwrap().0.to_owned();
    let mut names: Vec<String> = output.complaints().iter().map(setting).collect();
    names.sort_unstable();
    let expected = "api_token_file api_token_file config config database_url lease log max_in_flight poll_interval retain_failed";
    assert_eq!((output.code, names.join(" ")), (Some(64), expected.to_owned()), "{}", output.stderr);
    assert!(!output.stderr.contains(SECRET), "{}", output.stderr);
}

#[tokio::test]
async fn a_setting_of_the_file_that_is_passed_over_is_not_blamed_for_what_comes_before_it() {
    let folder = Folder::new();
    let file = private(&folder, "some.toml", "lease = \"1m\"");

    let output =
        CommandOutput::run("postgres://me@127.0.0.1:1/x", &["run", "--config", &file, "--lease", "60"]).await;

    assert_eq!(output.code, Some(64), "{}", output.stderr);
    assert!(output.complaint().starts_with("lease: needs a duration"), "{}", output.stderr);
}

#[tokio::test]
async fn a_misspelt_flag_is_refused_with_the_nearest_one() {
    for (args, meant) in [
        (&["run", "--leese", "1m"][..], "--lease"),
        (&["run", "--max-inflight", "7"], "--max-in-flight"),
        (&["endpoint", "putt", "one"], "put"),
        (&["statu"], "status"),
    ] {
        let output = CommandOutput::of(command(args)).await;

        assert_eq!(output.code, Some(64), "{args:?}");
        assert!(
            output.stderr.contains("similar") && output.stderr.contains(meant),
            "{args:?}: {}",
            output.stderr
        );
    }
}

#[tokio::test]
async fn a_schedule_of_too_many_delays_is_refused() {
    for (delays, code) in [(50, 1), (51, 64), (10_000, 64)] {
        let schedule = vec!["1s"; delays].join(",");
        let put = ["endpoint", "put", "one", "--url", "https://example.com/", "--retry-schedule", &schedule];

        let output = CommandOutput::run("postgres://me@127.0.0.1:1/x", &put).await;

        assert_eq!(output.code, Some(code), "{}", output.stderr);
        assert_eq!(
            output.stderr.contains("retry_schedule: needs 1 to 50 delays"),
            code == 64,
            "{}",
            output.stderr
        );
    }
}

#[tokio::test]
async fn a_file_with_a_secret_that_everybody_may_read_is_warned_about() {
    let folder = Folder::new();
    let tokens = folder.write("tokens", "7Hk29fQxZw4Lp1Vb");
    let services = folder.write("services", "[shop]\npassword=hunter2\n");
    let with_url = folder.write("url.toml", "database_url = \"postgres://me:hunter2@127.0.0.1:1/x\"");
    let with_proxy = folder.write("proxy.toml", "egress_proxy = \"http://me:hunter2@127.0.0.1:3128\"");
    let without = folder.write("plain.toml", "database_url = \"postgres://me@127.0.0.1:1/x\"");

    for (file, args, is_secret) in [
        (&tokens, &["--api-token-file", &tokens][..], true),
        (&services, &["--database-url", "postgres://me@127.0.0.1/x?service=shop"], true),
        (&with_url, &["--config", &with_url], true),
        (&with_proxy, &["--config", &with_proxy], true),
        (&without, &["--config", &without], false),
    ] {
        for (mode, is_warned) in [(0o644, is_secret), (0o640, false), (0o600, false)] {
            set_mode(file, mode);
            let mut show = command(&[&["config", "show"][..], args].concat());
            show.env("PGSERVICEFILE", &services).env("PGHOST", "127.0.0.1");

            let output = CommandOutput::of(show).await;

            let warning =
                format!("everybody on this machine may read {file}, and a secret is in it; chmod 600 it");
            assert_eq!(output.code, Some(0), "{}", output.stderr);
            assert_eq!(
                output.stderr.matches(&warning).count(),
                usize::from(is_warned),
                "{mode:o} {}",
                output.stderr
            );
            assert!(!output.stderr.contains(SECRET), "{}", output.stderr);
        }
    }
}

#[test]
fn no_page_shows_a_token_that_somebody_could_copy() {
    for page in [
        "README.md",
        "SECURITY.md",
        "docs/reference/api.md",
        "docs/reference/metrics.md",
        "docs/reference/connection.md",
    ] {
        let text = read(page);
        let shown = text.match_indices("Bearer ").map(|(at, word)| &text[at + word.len()..]);
        let tokens = shown.map(|rest| rest.split(['"', '`', '\'', ' ', '\n']).next().unwrap());

        let copied: Vec<&str> = tokens.filter(|token| !token.starts_with('$')).collect();
        assert_eq!(copied, Vec::<&str>::new(), "{page}");
    }
}

/// Gives it to `run`, which would connect, or to `config show`, which has the same settings and ends.
async fn try_out(given: &Given, said: &Said, nowhere: &str) -> Result<(), String> {
    let folder = Folder::new();
    let file = folder.path().join("some.toml").display().to_string();
    let run = if matches!(said, Refused(_)) { &["run"][..] } else { &["config", "show"] };
    let mut command = match given {
        Flags(flags) => command(&[run, flags].concat()),
        Url(_) | Variable(..) => command(run),
        File(text) => {
            private(&folder, "some.toml", text);
            command(&[run, &["--config", &file]].concat())
        }
        Tokens(text) => command(&[run, &["--api-token-file", &private(&folder, "tokens", text)]].concat()),
        Endpoint(flags) => {
            command(&[&["endpoint", "put", "one", "--url", "https://example.com/"][..], flags].concat())
        }
    };
    command.env("DATABASE_URL", if let Url(url) = given { url } else { nowhere });
    if let Variable(name, value) = given {
        command.env(name, value);
    }
    let output = CommandOutput::of(command).await;
    let (code, complaints, is_said) = match said {
        Refused(text) => (64, 1, output.stderr.contains(&text.replace("FILE", &file))),
        Warned(text) => (0, 0, output.stderr.contains(" WARN ") && output.stderr.contains(text)),
        Taken => (0, 0, output.stderr.is_empty()),
    };
    let is_as_said = is_said
        && output.code == Some(code)
        && output.complaints().len() == complaints
        && !output.stderr.contains(SECRET)
        && !output.stdout.contains(SECRET);
    if is_as_said { Ok(()) } else { Err(format!("{said:?}, not {:?} {}", output.code, output.stderr)) }
}

/// A file that nobody else may read.
fn private(folder: &Folder, name: &str, text: &str) -> String {
    let path = folder.write(name, text);
    set_mode(&path, 0o600);
    path
}

fn set_mode(path: &str, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
