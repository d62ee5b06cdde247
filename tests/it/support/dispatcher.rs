//! Dispatchers as operators run them: processes.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::secrets::assert_no_secret;
use super::{Canaries, DEADLINE, Database, eventually, send_signal, variable};

/// A running `postrider run`. Killed when dropped; then it must have shown no secret, and called no canary.
pub(crate) struct Dispatcher {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Dispatcher {
    /// Starts one that may call loopback, and waits until it is registered and woken as it should be.
    pub(crate) async fn start(database: &Database, flags: &[&str]) -> Self {
        let dispatcher = Self::spawn(&database.url, flags);
        let mode = if Self::polls(flags) { "poll" } else { "notify" };
        let pid = dispatcher.pid();
        database
            .until(&format!(
                "select exists (select from postrider.dispatcher_status where host like '%:{pid}' and wake_mode = '{mode}')"
            ))
            .await;
        dispatcher
    }

    /// Starts one and waits for nothing.
    pub(crate) fn spawn(url: &str, flags: &[&str]) -> Self {
        let mut command =
            command(&["run", "--allow-http", "--allow-cidr", "127.0.0.0/8", "--api-listen", "127.0.0.1:0"]);
        if let Some(wake) = variable("POSTRIDER_TEST_WAKE")
            && !flags.contains(&"--wake")
        {
            // What a ring would bring at once, a short poll brings soon: the tests stay quick.
            command.env("POSTRIDER_WAKE", wake).env("POSTRIDER_POLL_INTERVAL", "100ms");
        }
        command.args(flags).env("DATABASE_URL", url);
        Self::of(command)
    }

    /// Starts one with a limit of file descriptors, as `-n 1024` of ulimit, and waits until its API is there.
    pub(crate) async fn start_limited(database: &Database, ulimit: &str, flags: &[&str]) -> Self {
        let mut run =
            command(&["run", "--allow-http", "--allow-cidr", "127.0.0.0/8", "--api-listen", "127.0.0.1:0"]);
        run.args(flags).env("DATABASE_URL", &database.url);
        let dispatcher = Self::of(limited(ulimit, &run));
        dispatcher.api().await;
        dispatcher
    }

    /// Starts a `postrider run` of any kind, and waits for nothing.
    pub(crate) fn of(mut command: Command) -> Self {
        Canaries::get();
        command.stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (written, mut lines) = (Arc::clone(&log), BufReader::new(child.stderr.take().unwrap()).lines());
        #[expect(clippy::disallowed_methods, reason = "ends with the process it reads from")]
        drop(tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = written.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        }));
        Self { child, log }
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("still running")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Where its log is written: outlives it.
    pub(crate) fn logbook(&self) -> Arc<Mutex<String>> {
        Arc::clone(&self.log)
    }

    /// Whether it has ended by itself, and how.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// The most memory it ever had, in MiB.
    pub(crate) fn memory_max_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// How many file descriptors it has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Sets its soft limit of file descriptors.
    pub(crate) async fn limit_files(&self, limit: usize) {
        let (pid, limit) = (format!("--pid={}", self.pid()), format!("--nofile={limit}:"));
        assert!(Command::new("prlimit").args([pid, limit]).status().await.unwrap().success());
    }

    /// Where its API is, as `127.0.0.1:PORT`.
    pub(crate) async fn api(&self) -> String {
        const BEFORE: &str = "API on http://";
        self.logged(BEFORE).await;
        let log = self.log();
        let (_, rest) = log.split_once(BEFORE).unwrap();
        rest.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').next().unwrap().to_owned()
    }

    /// Waits until it has logged a text.
    pub(crate) async fn logged(&self, text: &str) {
        eventually(&format!("\"{text}\" in the log"), || async { self.log().contains(text) }).await;
    }

    /// Sends a signal, as `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        assert!(send_signal(self.pid(), name).await);
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(DEADLINE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("still running; its log:\n{}", self.log())).unwrap()
    }

    /// SIGTERM, and waits for its end.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        self.signal("TERM").await;
        self.ended().await
    }

    /// SIGKILL, and waits for its end.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    fn polls(flags: &[&str]) -> bool {
        match flags.iter().position(|flag| *flag == "--wake") {
            Some(at) => flags[at + 1] == "poll",
            None => variable("POSTRIDER_TEST_WAKE").is_some_and(|wake| wake == "poll"),
        }
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_no_secret("a log", &self.log());
            Canaries::get().assert_untouched();
        }
    }
}

/// The binary under test (or the one that `POSTRIDER_TEST_BINARY` names) with these arguments, and nothing of the caller's environment that it would read.
pub(crate) fn command(args: &[&str]) -> Command {
    let binary = variable("POSTRIDER_TEST_BINARY");
    let mut command = Command::new(binary.as_deref().unwrap_or(env!("CARGO_BIN_EXE_postrider")));
    for (name, _) in std::env::vars_os() {
        let is_read = name.to_str().is_some_and(|name| {
            ["POSTRIDER_", "PG"].iter().any(|beginning| name.starts_with(beginning))
                || ["DATABASE_URL", "HOME"].contains(&name)
        });
        if is_read {
            command.env_remove(name);
        }
    }
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env(name, format!("http://{}", Canaries::get().address()));
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    command.args(args).current_dir(std::env::temp_dir()).stdin(Stdio::null());
    command
}

/// The same command after `ulimit` with these arguments; the process id stays that of the binary.
pub(crate) fn limited(ulimit: &str, command: &Command) -> Command {
    wrapped("sh", &["-c", &format!("ulimit {ulimit} && exec \"$@\""), "sh"], command)
}

/// The same command with a file of its own as `/etc/hosts`; the process id stays that of the binary.
pub(crate) fn with_hosts(hosts: &str, command: &Command) -> Command {
    let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    wrapped("unshare", &["-Urm", "sh", "-c", script, hosts], command)
}

fn wrapped(program: &str, args: &[&str], command: &Command) -> Command {
    let command = command.as_std();
    let mut wrapped = Command::new(program);
    wrapped.args(args).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped.current_dir(std::env::temp_dir()).stdin(Stdio::null());
    wrapped
}
