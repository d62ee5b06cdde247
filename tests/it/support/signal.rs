//! Signals to processes.

use tokio::process::Command;

use super::eventually;

/// Sends a signal, as `TERM`; says whether there was a process. After `STOP` it waits until every thread has stopped: the one
/// that takes the signal may be scheduled long after it was sent, and until then the others go on.
pub(crate) async fn send_signal(pid: impl std::fmt::Display, name: &str) -> bool {
    let pid = pid.to_string();
    let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().await.unwrap();
    if name == "STOP" && sent.success() {
        eventually("every thread has stopped", || async { has_stopped(&pid) }).await;
    }
    sent.success()
}

/// Whether all threads of a process are in the state `T`, the first word behind the name in parentheses (`man 5 proc`).
fn has_stopped(pid: &str) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    stats.into_iter().all(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
}
