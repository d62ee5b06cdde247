//! The wake-up protocol, searched exhaustively: every interleaving of three producers, the dispatcher's half of the bell
//! (`src/dispatcher/wakeup/bell.rs`, `src/dispatcher/work_loop.rs`, `src/dispatcher/wakeup/listener.rs`) and the trigger `postrider.ring`. No database, no time.
//!
//! A step is what PostgreSQL does as a whole: taking or refusing a lock, a snapshot, a commit becoming visible, locks
//! going, a listener being signalled. What a step leaves out, and why that is enough:
//! - rows are not counted: a look takes all that is visible, and "some row lies unclaimed" is all that matters;
//! - payloads, routing and endpoints: they come after the look, and nothing of them feeds back into the bell;
//! - naps, due times and the fallback poll only add looks, so a protocol that needs none of them loses nothing by them;
//! - one dispatcher: only the leader arms the bell, and a sibling that sleeps is woken by the same rings;
//! - a second statement stands for all further ones, and it may be rolled back to a savepoint: locks and rings of a
//!   transaction only accumulate, or go back to what they were.
//!
//! A notification may be read between a commit becoming visible and its locks going, hence the free order of the two.

use std::collections::HashSet;

const PRODUCERS: usize = 3;

/// What is wrong with the protocol that is searched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mutant {
    Sound,
    NoSecondLook,
    NoLockCheck,
    /// A ring is forgotten unless somebody sleeps, as `Notify::notify_waiters` would.
    ForgetsRings,
    /// After connecting anew, the loop is told to look before the leadership is taken.
    LooksBeforeLeading,
}

/// What the trigger of a statement did.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Mark {
    /// Got the shared lock.
    Silent,
    /// Was refused: a notification goes out with the commit.
    Rings,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Producer {
    Between,
    Open { first: Mark, second: Option<Mark> },
    Visible { is_locked: bool, rings: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Dispatcher {
    Looking,
    Arming,
    SecondLook,
    /// The second look found nothing; its answer is on the way back.
    Dozing,
    Asleep,
    /// Disarming and looking, side by side.
    Disarming,
    /// The look was faster.
    DisarmingAfterLook {
        has_found: bool,
    },
}

/// The listening connection. Its locks live and die with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Session {
    Gone,
    /// LISTEN is done; nothing else is.
    Listening,
    /// Leading without the loop's knowledge, or known to the loop without leading: the bell cannot be armed.
    Half,
    Leading,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    producers: [Producer; PRODUCERS],
    /// Transactions that each producer has still to begin.
    left: [u8; PRODUCERS],
    dispatcher: Dispatcher,
    session: Session,
    /// How often the connection may still break.
    breaks_left: u8,
    is_armed: bool,
    /// Some committed row is unclaimed.
    has_row: bool,
    /// The loop is told to look: kept until it sleeps and wakes.
    has_ring: bool,
}

struct Search {
    states: usize,
    is_a_wake_up_lost: bool,
}

/// Visits every state that can be reached.
fn search(mutant: Mutant, transactions: [u8; PRODUCERS], breaks: u8) -> Search {
    let first = State {
        producers: [Producer::Between; PRODUCERS],
        left: transactions,
        dispatcher: Dispatcher::Looking,
        session: Session::Leading,
        breaks_left: breaks,
        is_armed: false,
        has_row: false,
        has_ring: false,
    };
    let (mut seen, mut open) = (HashSet::from([first]), vec![first]);
    let mut is_a_wake_up_lost = false;
    while let Some(state) = open.pop() {
        is_a_wake_up_lost |= state.is_a_wake_up_lost();
        open.extend(state.successors(mutant).into_iter().filter(|next| seen.insert(*next)));
    }
    Search { states: seen.len(), is_a_wake_up_lost }
}

impl State {
    /// A committed row lies unclaimed, the dispatcher sleeps, and nothing that has begun will wake it. (Stronger than
    /// waiting for all producers to be done: no later producer is needed to get an earlier one's row delivered.)
    fn is_a_wake_up_lost(&self) -> bool {
        let is_ring_coming = self.has_ring
            || self
                .producers
                .iter()
                .any(|producer| matches!(producer, Producer::Visible { rings: true, .. }));
        self.has_row
            && self.dispatcher == Dispatcher::Asleep
            && self.session == Session::Leading
            && !is_ring_coming
    }

    fn successors(self, mutant: Mutant) -> Vec<Self> {
        let mut next: Vec<Self> = (0..PRODUCERS).flat_map(|who| self.producer_steps(who, mutant)).collect();
        next.extend(self.dispatcher_step(mutant));
        next.extend(self.early_look());
        next.extend(self.session_steps(mutant));
        next
    }

    fn producer_steps(self, who: usize, mutant: Mutant) -> Vec<Self> {
        match self.producers[who] {
            Producer::Between if self.left[who] == 0 => Vec::new(),
            Producer::Between => {
                let mut begun = self.with(who, Producer::Open { first: self.trigger(), second: None });
                begun.left[who] -= 1;
                vec![begun]
            }
            Producer::Open { first, second } => self.open_steps(who, first, second),
            Producer::Visible { is_locked, rings } => {
                let mut steps = Vec::new();
                if is_locked {
                    steps.push(self.with(who, settled(false, rings)));
                }
                if rings {
                    steps.push(self.with(who, settled(is_locked, false)).ring(mutant));
                }
                steps
            }
        }
    }

    fn open_steps(self, who: usize, first: Mark, second: Option<Mark>) -> Vec<Self> {
        let marks = [Some(first), second];
        let mut committed = self.with(
            who,
            Producer::Visible {
                is_locked: marks.contains(&Some(Mark::Silent)),
                rings: marks.contains(&Some(Mark::Rings)),
            },
        );
        committed.has_row = true;
        let rolled_back = self.with(who, Producer::Between);
        // Another statement, or back to the savepoint before it.
        let other = if second.is_some() { None } else { Some(self.trigger()) };
        vec![committed, rolled_back, self.with(who, Producer::Open { first, second: other })]
    }

    fn dispatcher_step(mut self, mutant: Mutant) -> Option<Self> {
        let has_found = self.has_row;
        self.dispatcher = match self.dispatcher {
            Dispatcher::Looking => {
                self.has_row = false;
                if has_found { Dispatcher::Looking } else { Dispatcher::Arming }
            }
            Dispatcher::Arming if self.session != Session::Leading => Dispatcher::SecondLook,
            Dispatcher::Arming if self.is_lock_shared() && mutant != Mutant::NoLockCheck => {
                Dispatcher::Looking
            }
            Dispatcher::Arming => {
                self.is_armed = true;
                if mutant == Mutant::NoSecondLook { Dispatcher::Dozing } else { Dispatcher::SecondLook }
            }
            Dispatcher::SecondLook => {
                self.has_row = false;
                if has_found { Dispatcher::Disarming } else { Dispatcher::Dozing }
            }
            Dispatcher::Dozing => Dispatcher::Asleep,
            Dispatcher::Asleep if !self.has_ring => return None,
            Dispatcher::Asleep => {
                self.has_ring = false;
                Dispatcher::Disarming
            }
            Dispatcher::Disarming => {
                self.is_armed = false;
                Dispatcher::Looking
            }
            Dispatcher::DisarmingAfterLook { has_found } => {
                self.is_armed = false;
                if has_found { Dispatcher::Looking } else { Dispatcher::Arming }
            }
        };
        Some(self)
    }

    /// The look after a sleep, before the bell is disarmed beside it.
    fn early_look(mut self) -> Option<Self> {
        if self.dispatcher != Dispatcher::Disarming {
            return None;
        }
        self.dispatcher = Dispatcher::DisarmingAfterLook { has_found: self.has_row };
        self.has_row = false;
        Some(self)
    }

    fn session_steps(self, mutant: Mutant) -> Vec<Self> {
        let mut steps = match (self.session, mutant) {
            (Session::Gone, _) => vec![self.with_session(Session::Listening)],
            (Session::Listening, Mutant::LooksBeforeLeading) => {
                vec![self.with_session(Session::Half).ring(mutant)]
            }
            (Session::Listening, _) => vec![self.with_session(Session::Half)],
            (Session::Half, Mutant::LooksBeforeLeading) => vec![self.with_session(Session::Leading)],
            (Session::Half, _) => vec![self.with_session(Session::Leading).ring(mutant)],
            (Session::Leading, _) => Vec::new(),
        };
        if self.breaks_left > 0 && self.session != Session::Gone {
            steps.push(Self {
                breaks_left: self.breaks_left - 1,
                is_armed: false,
                has_ring: false,
                ..self.with_session(Session::Gone)
            });
        }
        steps
    }

    fn with(mut self, who: usize, producer: Producer) -> Self {
        self.producers[who] = producer;
        self
    }

    fn with_session(mut self, session: Session) -> Self {
        self.session = session;
        self
    }

    fn trigger(&self) -> Mark {
        if self.is_armed { Mark::Rings } else { Mark::Silent }
    }

    fn ring(mut self, mutant: Mutant) -> Self {
        let is_heard = self.session != Session::Gone
            && (mutant != Mutant::ForgetsRings || self.dispatcher == Dispatcher::Asleep);
        self.has_ring |= is_heard;
        self
    }

    fn is_lock_shared(&self) -> bool {
        self.producers.iter().any(|producer| match producer {
            Producer::Between => false,
            Producer::Open { first, second } => [Some(*first), *second].contains(&Some(Mark::Silent)),
            Producer::Visible { is_locked, .. } => *is_locked,
        })
    }
}

/// What is left to do after a commit; nothing: the transaction is over.
fn settled(is_locked: bool, rings: bool) -> Producer {
    if is_locked || rings { Producer::Visible { is_locked, rings } } else { Producer::Between }
}

#[test]
fn no_interleaving_loses_a_wake_up() {
    // Far fewer states would mean that the search does not move. While the bell is not armed, each producer is by itself
    // in any of 13: between transactions with 3, 2, 1 or 0 to begin, and, with 2, 1 or 0 to begin, in one of one
    // statement, in one of two, or in one that is visible and locked. And the dispatcher looks, or is about to arm.
    let states_min = 2 * 13_usize.pow(3);

    let found = search(Mutant::Sound, [3, 3, 3], 0);

    assert!(!found.is_a_wake_up_lost);
    assert!(found.states > states_min, "{} states", found.states);
}

#[test]
fn without_the_second_look_a_wake_up_is_lost() {
    let found = search(Mutant::NoSecondLook, [1, 0, 0], 0);

    assert!(found.is_a_wake_up_lost);
}

#[test]
fn without_the_lock_check_a_wake_up_is_lost() {
    let found = search(Mutant::NoLockCheck, [1, 0, 0], 0);

    assert!(found.is_a_wake_up_lost);
}

#[test]
fn if_a_ring_before_the_sleep_is_forgotten_a_wake_up_is_lost() {
    let found = search(Mutant::ForgetsRings, [1, 0, 0], 0);

    assert!(found.is_a_wake_up_lost);
}

#[test]
fn a_connection_that_breaks_and_comes_back_loses_no_wake_up() {
    let found = search(Mutant::Sound, [2, 1, 0], 2);

    assert!(!found.is_a_wake_up_lost);
}

#[test]
fn if_the_loop_looks_before_its_new_connection_leads_a_wake_up_is_lost() {
    let found = search(Mutant::LooksBeforeLeading, [1, 0, 0], 1);

    assert!(found.is_a_wake_up_lost);
}
