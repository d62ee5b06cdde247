//! One receiver that does one thing, and what is recorded of it.

use tokio_postgres::Row;

use super::http2::Http2;
use crate::support::{Act, Authority, Database, MisbehavingServer, Tls, TlsReceiver};

/// Who receives.
pub(super) enum Peer {
    MisbehavingServer(Vec<Act>),
    Tls(Tls),
    /// Its certificate is for a name, and it is called by its address.
    TlsByAddress,
    /// Sends these frames, the last of them again and again if so.
    Http2(Vec<Vec<u8>>, bool),
}

/// What is to be recorded of each of its attempts.
pub(super) enum Expected {
    /// 2xx: delivered.
    Counts(i16),
    /// The delivery waits for its next attempt.
    Refused(i16),
    /// The same, without a status, and with an error that begins and goes on so.
    Unanswered(&'static str, &'static str),
}

pub(super) struct Trial {
    does: &'static str,
    peer: Peer,
    expected: Expected,
    /// What `put_endpoint` is told beside.
    endpoint: &'static str,
    /// One after the other.
    pub(super) events: usize,
    /// What is kept of the answer; none: nobody cares.
    kept: Option<String>,
    /// In how many seconds the next attempt is due, by a schedule that says 1000.
    waits: Option<(f64, f64)>,
    /// As long as that at least, in milliseconds.
    takes: i32,
}

impl Trial {
    pub(super) fn of(does: &'static str, peer: Peer, expected: Expected) -> Self {
        Self { does, peer, expected, endpoint: "", events: 1, kept: None, waits: None, takes: 0 }
    }

    /// With this deadline for an attempt, as `timeout => '1s'`.
    pub(super) fn with(self, endpoint: &'static str) -> Self {
        Self { endpoint, ..self }
    }

    pub(super) fn times(self, events: usize) -> Self {
        Self { events, ..self }
    }

    pub(super) fn keeps(self, kept: impl Into<String>) -> Self {
        Self { kept: Some(kept.into()), ..self }
    }

    pub(super) fn waits(self, least: f64, most: f64) -> Self {
        Self { waits: Some((least, most)), ..self }
    }

    pub(super) fn takes(self, least_ms: i32) -> Self {
        Self { takes: least_ms, ..self }
    }
}

enum Running {
    MisbehavingServer(MisbehavingServer),
    Tls(TlsReceiver),
    Http2(Http2),
}

/// A trial whose receiver runs, and whose endpoint is registered.
pub(super) struct Started {
    pub(super) id: String,
    pub(super) trial: Trial,
    running: Running,
}

impl Started {
    pub(super) async fn start(
        id: String,
        mut trial: Trial,
        database: &Database,
        authority: &Authority,
    ) -> Self {
        let peer = std::mem::replace(&mut trial.peer, Peer::TlsByAddress);
        let (url, running) = match peer {
            Peer::MisbehavingServer(acts) => {
                let server = MisbehavingServer::start(acts).await;
                (server.url(), Running::MisbehavingServer(server))
            }
            Peer::Tls(tls) => {
                let receiver = TlsReceiver::start(authority, tls).await;
                (receiver.url(), Running::Tls(receiver))
            }
            Peer::TlsByAddress => {
                let receiver = TlsReceiver::start(authority, Tls::Fine).await;
                (receiver.url().replace("localhost", "127.0.0.1"), Running::Tls(receiver))
            }
            Peer::Http2(frames, again) => {
                let receiver = Http2::start(authority, frames, again).await;
                (receiver.url(), Running::Http2(receiver))
            }
        };
        // One request at a time; what failed waits for long.
        let comma = if trial.endpoint.is_empty() { "" } else { ", " };
        let more = format!("max_in_flight => 1, retry_schedule => '{{1000s}}'{comma}{}", trial.endpoint);
        database.put_endpoint(&id, &url, "", &more).await;
        Self { id, trial, running }
    }

    /// What of that which is recorded is not as it should be.
    pub(super) async fn judge(&self, database: &Database) -> Vec<String> {
        let sql = "select d.status::text, a.status_code, a.error, a.response_excerpt, a.duration_ms,
                          extract(epoch from d.next_attempt_at - a.started_at
                                             - a.duration_ms * interval '1 millisecond')::float8
                   from postrider.attempt_log as a join postrider.delivery_status as d using (delivery_id)
                   where a.endpoint_id = $1";
        let rows = database.rows(sql, &[&self.id]).await;
        let mut wrong: Vec<String> = rows.iter().filter_map(|row| self.judge_attempt(row)).collect();
        if rows.len() != self.trial.events {
            wrong.push(format!("{} ({}): {} attempts", self.id, self.trial.does, rows.len()));
        }
        wrong.extend(self.judge_requests());
        wrong
    }

    fn judge_attempt(&self, row: &Row) -> Option<String> {
        let (status, code, error): (String, Option<i16>, Option<&str>) = (row.get(0), row.get(1), row.get(2));
        let (excerpt, duration_ms, waits): (Option<&str>, i32, Option<f64>) =
            (row.get(3), row.get(4), row.get(5));
        let is_recorded = match self.trial.expected {
            Expected::Counts(counts) => (status.as_str(), code, error) == ("complete", Some(counts), None),
            Expected::Refused(refused) => {
                (status.as_str(), code) == ("pending", Some(refused)) && error.is_some()
            }
            Expected::Unanswered(begins, goes_on) => {
                let says_so = |error: &str| error.starts_with(begins) && error.contains(goes_on);
                (status.as_str(), code) == ("pending", None) && error.is_some_and(says_so)
            }
        };
        let is_kept = self.trial.kept.as_deref().is_none_or(|kept| Some(kept) == excerpt);
        let waits_so =
            self.trial.waits.is_none_or(|(least, most)| waits.is_some_and(|s| (least..=most).contains(&s)));
        let is_right = is_recorded && is_kept && waits_so && duration_ms >= self.trial.takes;
        (!is_right).then(|| {
            format!(
                "{} ({}): {status} {code:?} {error:?}, {duration_ms} ms, next in {waits:?} s, kept {excerpt:?}",
                self.id, self.trial.does
            )
        })
    }

    /// Nothing is sent twice, and nothing to whom proves nothing. (On a busy machine, a short deadline may end before anything
    /// is sent.)
    fn judge_requests(&self) -> Option<String> {
        let requests = match &self.running {
            Running::MisbehavingServer(server) => server.requests(),
            Running::Http2(receiver) => receiver.requests(),
            Running::Tls(receiver) => receiver.requests(),
        };
        let is_right = match (&self.running, &self.trial.expected) {
            (Running::Tls(_), _) => requests == 0,
            // What it did not process, as it says, is sent again, once.
            (Running::Http2(_), Expected::Unanswered(..)) => requests <= 2 * self.trial.events,
            (_, Expected::Unanswered(..)) => requests <= self.trial.events,
            (_, Expected::Counts(_) | Expected::Refused(_)) => requests == self.trial.events,
        };
        (!is_right).then(|| format!("{} ({}): {requests} requests", self.id, self.trial.does))
    }
}
