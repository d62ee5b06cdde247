//! Commands on a terminal of their own, as `script` of util-linux makes one.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::{DEADLINE, Database, command};

/// A command that runs on a terminal of 80 columns. Killed when dropped.
pub(crate) struct Screen {
    child: Child,
    keys: ChildStdin,
    /// Everything that was written to the terminal so far, stdout and stderr.
    pub(crate) shown: String,
}

/// Starts `postrider` on a terminal; none, and a line that says so, where there is no such `script`.
pub(crate) async fn terminal(database: &Database, args: &[&str], env: &[(&str, &str)]) -> Option<Screen> {
    let version = Command::new("script").arg("--version").output().await;
    if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux")) {
        println!("skipped: no script of util-linux here to make a terminal with");
        return None;
    }
    let quoted: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    let line = format!("stty cols 80 rows 24; exec {} {}", env!("CARGO_BIN_EXE_postrider"), quoted.join(" "));
    // Takes over what is kept from the caller's environment.
    let bare = command(&[]);
    let mut script = Command::new("script");
    for (name, value) in bare.as_std().get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script
        .args(["-qec", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .env("DATABASE_URL", &database.url)
        .envs(env.iter().copied())
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = script.spawn().unwrap();
    let keys = child.stdin.take().unwrap();
    Some(Screen { child, keys, shown: String::new() })
}

impl Screen {
    /// Presses keys; `\x03` is Ctrl-C.
    pub(crate) async fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// Waits until a text stands on it.
    pub(crate) async fn until(&mut self, text: &str) {
        let read = async {
            while !self.shown.contains(text) {
                let mut bytes = [0; 4096];
                let count = self.child.stdout.as_mut().unwrap().read(&mut bytes).await.unwrap();
                assert!(count > 0, "it ended without \"{text}\"; shown:\n{}", self.shown);
                self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        };
        let is_read = timeout(DEADLINE, read).await.is_ok();
        assert!(is_read, "no \"{text}\" in time; shown:\n{}", self.shown);
    }

    /// Waits for its end, and returns its exit code and everything that was shown.
    pub(crate) async fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        let mut stdout = self.child.stdout.take().unwrap();
        let ended = async {
            stdout.read_to_end(&mut rest).await.unwrap();
            self.child.wait().await.unwrap()
        };
        let status = timeout(DEADLINE, ended).await.expect("it ends");
        self.shown.push_str(&String::from_utf8_lossy(&rest));
        (status.code(), self.shown)
    }
}
