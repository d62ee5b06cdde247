//! The receiver at its two addresses: it speaks HTTP/2 on one port and HTTP/1.1 on another, and comes and goes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;
use tokio::time::Instant;

use super::desk::{Book, Counter};
use super::http1::Http1Receiver;
use super::plan::{Habits, Plan};
use crate::support::{Authority, Http2Receiver, Manners};

/// How often the receiver did what.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) goodbyes: usize,
    pub(crate) refused: usize,
    pub(crate) idle: usize,
    pub(crate) just_used: usize,
    pub(crate) lost: usize,
    pub(crate) moves: usize,
}

/// The receiver, wherever it is.
pub(crate) struct Host {
    pub(crate) authority: Authority,
    /// By HTTP/2 and by HTTP/1.1.
    pub(crate) books: [Arc<Book>; 2],
    ports: [u16; 2],
    addresses: [&'static str; 2],
    habits: Habits,
    seed: u64,
    /// Nobody else gets these ports while the receiver is elsewhere.
    _reserved: Vec<TcpSocket>,
    running: [Option<(Http2Receiver, Http1Receiver)>; 2],
    past: Counts,
}

impl Host {
    /// It serves at the first address.
    pub(crate) async fn start(plan: &Plan, began: Instant, addresses: [&'static str; 2]) -> Self {
        let mut reserved = Vec::new();
        let ports = [reserve(addresses, &mut reserved), reserve(addresses, &mut reserved)];
        let mut host = Self {
            authority: Authority::new(),
            books: [Book::new(plan, began), Book::new(plan, began)],
            ports,
            addresses,
            habits: plan.habits(),
            seed: plan.seed,
            _reserved: reserved,
            running: [None, None],
            past: Counts::default(),
        };
        host.open(0).await;
        host
    }

    /// Where it is by HTTP/2 and by HTTP/1.1, under a name.
    pub(crate) fn urls(&self, name: &str) -> [String; 2] {
        let [two, one] = self.ports;
        [format!("https://{name}:{two}/hook"), format!("http://{name}:{one}/hook")]
    }

    /// From now on it serves at this address, too.
    pub(crate) async fn open(&mut self, address: usize) {
        let [two, one] = self.ports.map(|port| format!("{}:{port}", self.addresses[address]));
        let [h2, h1] = self.books.clone().map(|book| Counter { book, address });
        let habits = &self.habits;
        let manners = Manners {
            requests_each: Some(habits.requests_each),
            says_goodbye: true,
            refuses_each: Some(habits.refuses_each),
            streams_max: Some(habits.streams_max),
            takes: habits.takes,
            idle_max: Some(habits.idle_max),
            desk: Some(Arc::new(h2)),
            ..Manners::default()
        };
        self.seed += 1;
        let h2 = Http2Receiver::start_at(&two, &self.authority, manners).await;
        self.running[address] = Some((h2, Http1Receiver::start(&one, h1, habits, self.seed).await));
    }

    /// From now on it does not serve there any more: its connections end at once.
    pub(crate) fn close(&mut self, address: usize) {
        if let Some(running) = self.running[address].take() {
            self.past = self.past.and(&running);
            self.past.moves += 1;
        }
    }

    /// Until now.
    pub(crate) fn counts(&self) -> Counts {
        self.running.iter().flatten().fold(self.past, Counts::and)
    }
}

impl Counts {
    fn and(self, (h2, h1): &(Http2Receiver, Http1Receiver)) -> Self {
        let count = |of: &AtomicUsize| of.load(Ordering::SeqCst);
        Self {
            goodbyes: self.goodbyes + h2.goodbyes(),
            refused: self.refused + h2.refused(),
            idle: self.idle + h2.idle() + count(&h1.seen.idle),
            just_used: self.just_used + count(&h1.seen.just_used),
            lost: self.lost + count(&h1.seen.lost),
            moves: self.moves,
        }
    }
}

/// A port that is free at both addresses.
fn reserve(addresses: [&str; 2], reserved: &mut Vec<TcpSocket>) -> u16 {
    let bind = |address: &str, port: u16| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(SocketAddr::new(address.parse().unwrap(), port)).map(|()| socket)
    };
    loop {
        let first = bind(addresses[0], 0).unwrap();
        let port = first.local_addr().unwrap().port();
        if addresses[0] == addresses[1] {
            reserved.push(first);
            return port;
        }
        if let Ok(second) = bind(addresses[1], port) {
            reserved.extend([first, second]);
            return port;
        }
    }
}
