//! Which endpoint's queue starts the next attempt: the endpoints that can start one take turns.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::model::endpoint::EndpointNo;

/// The endpoints that wait for a runner, and those that wait for others to need fewer requests.
#[derive(Debug, Default)]
pub(super) struct Turn {
    standing: HashMap<EndpointNo, Standing>,
    /// Endpoints that can start an attempt now, each once.
    startable: VecDeque<EndpointNo>,
    /// Endpoints that could start one, but must leave the request to others; ordered by how many they have under way.
    blocked: BTreeSet<(usize, EndpointNo)>,
}

/// Where an endpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Startable,
    Blocked { in_flight: usize },
}

impl Turn {
    /// Whether an endpoint stands here already.
    pub(super) fn has(&self, no: EndpointNo) -> bool {
        self.standing.contains_key(&no)
    }

    /// How many endpoints can start an attempt.
    pub(super) fn startable(&self) -> usize {
        self.startable.len()
    }

    /// Puts an endpoint at the end of the turn, unless it stands here already.
    pub(super) fn offer(&mut self, no: EndpointNo) {
        if !self.has(no) {
            self.standing.insert(no, Standing::Startable);
            self.startable.push_back(no);
        }
    }

    /// Takes the next endpoint out of the turn.
    pub(super) fn pop(&mut self) -> Option<EndpointNo> {
        let no = self.startable.pop_front()?;
        self.standing.remove(&no);
        Some(no)
    }

    /// An endpoint that was taken out must leave its request to others.
    pub(super) fn block(&mut self, no: EndpointNo, in_flight: usize) {
        self.standing.insert(no, Standing::Blocked { in_flight });
        self.blocked.insert((in_flight, no));
    }

    /// An endpoint that was blocked may be offered again.
    pub(super) fn unblock(&mut self, no: EndpointNo) {
        if let Some(Standing::Blocked { in_flight }) = self.standing.get(&no).copied() {
            self.standing.remove(&no);
            self.blocked.remove(&(in_flight, no));
        }
    }

    /// The blocked endpoint with the fewest requests under way.
    pub(super) fn first_blocked(&self) -> Option<EndpointNo> {
        self.blocked.first().map(|(_, no)| *no)
    }

    /// Nothing is started any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_take_turns_and_the_blocked_one_with_the_fewest_requests_is_first() {
        let [one, two, three] = [1, 2, 3].map(EndpointNo::new);
        let mut turn = Turn::default();
        for no in [one, two, one, three] {
            turn.offer(no);
        }

        let popped = [turn.pop(), turn.pop(), turn.pop(), turn.pop()];
        turn.block(one, 2);
        turn.block(two, 1);

        assert_eq!(popped, [Some(one), Some(two), Some(three), None]);
        assert_eq!(turn.first_blocked(), Some(two));
        turn.unblock(two);
        assert_eq!((turn.first_blocked(), turn.has(two)), (Some(one), false));
    }
}
