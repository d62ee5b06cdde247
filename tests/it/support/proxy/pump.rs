//! One direction of one connection.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::reader::Reader;
use super::{Shared, Side, State};

/// The connection ends with an RST.
pub(super) struct Reset;

impl From<std::io::Error> for Reset {
    fn from(_: std::io::Error) -> Self {
        // One side broke off: so does the other.
        Self
    }
}

/// Moves bytes until an end comes.
pub(super) struct Pump<'a> {
    shared: &'a Shared,
    side: Side,
    reader: &'a Mutex<Option<Reader>>,
    state: watch::Receiver<State>,
    passed: u64,
}

impl<'a> Pump<'a> {
    pub(super) fn new(shared: &'a Shared, side: Side, reader: &'a Mutex<Option<Reader>>) -> Self {
        Self { shared, side, reader, state: shared.state.subscribe(), passed: 0 }
    }

    pub(super) async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), Reset> {
        let mut buffer = vec![0; 16 * 1024];
        let (side, mut state) = (self.side, self.state.clone());
        loop {
            self.while_hole().await;
            let count = tokio::select! {
                // Dropped, the read has taken nothing.
                count = from.read(&mut buffer) => count?,
                _ = state.wait_for(|state| state.toxics.of(side).is_hole) => continue,
            };
            if count == 0 {
                drop(to.shutdown().await);
                return Ok(());
            }
            let (bytes, is_cut) = self.read_along(&buffer[..count]);
            self.pass(&bytes, &mut to).await?;
            if is_cut {
                return Err(Reset);
            }
        }
    }

    /// What is to be passed on, and whether the connection is cut after it.
    fn read_along(&self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut reader = self.reader.lock().unwrap();
        let Some(reader) = reader.as_mut() else {
            return (bytes.to_vec(), false);
        };
        match self.side {
            Side::Up => reader.asked(bytes),
            Side::Down => {
                let is_deaf = self.state.borrow().toxics.is_deaf;
                let passed = reader.answered(bytes, is_deaf, |asked| self.is_to_be_swallowed(asked));
                if passed.1 {
                    self.shared.swallowed.fetch_add(1, Ordering::SeqCst);
                }
                return passed;
            }
        }
        (bytes.to_vec(), false)
    }

    /// Whether the answer to this statement is to be lost; true once.
    fn is_to_be_swallowed(&self, asked: &str) -> bool {
        let mut swallow = self.shared.swallow.lock().unwrap();
        let is_it = swallow.as_ref().is_some_and(|text| asked.contains(text));
        if is_it {
            *swallow = None;
        }
        is_it
    }

    async fn pass(&mut self, bytes: &[u8], to: &mut WriteHalf<'_>) -> Result<(), Reset> {
        let toxic = self.state.borrow().toxics.of(self.side);
        let slice = toxic.slice.map_or(bytes.len().max(1), std::num::NonZeroUsize::get);
        for piece in bytes.chunks(slice) {
            let mut wait = toxic.latency + toxic.jitter.mul_f64(fastrand::f64());
            if let Some(bytes_per_s) = toxic.bytes_per_s {
                let count = u32::try_from(piece.len()).unwrap();
                wait += Duration::from_secs(1) * count / bytes_per_s.get();
            }
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            self.while_hole().await;
            let left = toxic.cut_after.map_or(u64::MAX, |cut_after| cut_after.saturating_sub(self.passed));
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            to.write_all(&piece[..count]).await?;
            self.passed += u64::try_from(count).unwrap();
            if count < piece.len() {
                return Err(Reset);
            }
        }
        Ok(())
    }

    /// Waits while this direction is a hole.
    async fn while_hole(&mut self) {
        let side = self.side;
        // The proxy is gone: so is this.
        drop(self.state.wait_for(|state| !state.toxics.of(side).is_hole).await);
    }
}
