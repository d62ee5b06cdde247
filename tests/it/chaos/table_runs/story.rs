//! What became of each row, change by change: once as logical decoding tells it, and once as the outbox does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::decoded::{Change, Done, Row};
use super::inbox::digest;
use super::tables::{DECODED, key_of};

/// Of what an event says so much is kept to be shown.
const SHOWN_MAX: usize = 200;

/// A table and the primary key of a row in it.
pub(crate) type Name = (String, Vec<String>);

/// One change of a row, in the transaction that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) xid: u32,
    digest: u64,
    shown: String,
}

/// The changes of each row, in their order.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) rows: HashMap<Name, Vec<Told>>,
}

/// A change as a receiver sees it.
#[derive(Debug)]
struct Event<'a> {
    op: &'static str,
    record: &'a Row,
    changed: BTreeSet<&'a str>,
    previous: Row,
}

impl Story {
    /// How many changes there are.
    pub(crate) fn count(&self) -> usize {
        self.rows.values().map(Vec::len).sum()
    }

    /// Adds a transaction that was decoded.
    pub(crate) fn add_transaction(&mut self, xid: u32, statements: &[Done]) {
        for done in statements {
            for (table, leaves) in DECODED {
                let of_table = |change: &&Change| leaves.contains(&change.relation.as_str());
                let changes: Vec<&Change> = done.changes.iter().filter(of_table).collect();
                self.add_statement(xid, table, &changes, done.is_update);
            }
        }
    }

    /// What a statement did to a table. Of a row that foreign keys changed before they deleted it only the end is told. Rows whose
    /// key it changed are told by their keys: one that is gone, one that came, and one that changed where another has its place.
    fn add_statement(&mut self, xid: u32, table: &str, changes: &[&Change], is_update: bool) {
        let stays = |change: &&Change| match (&change.old, &change.new) {
            (Some(old), Some(new)) => key(table, old) == key(table, new),
            _ => !is_update,
        };
        if changes.iter().all(stays) {
            for (place, change) in changes.iter().enumerate() {
                let goes = |later: &&Change| {
                    later.new.is_none() && key_of_old(table, later) == key_of_old(table, change)
                };
                if change.old.is_none() || change.new.is_none() || !changes[place + 1..].iter().any(goes) {
                    self.add(xid, table, change.old.as_ref(), change.new.as_ref());
                }
            }
            return;
        }
        assert!(is_update, "only an UPDATE changes keys here: {changes:?}");
        let mut places: BTreeMap<Vec<String>, (Option<&Row>, Option<&Row>)> = BTreeMap::new();
        for change in changes {
            if let Some(old) = &change.old {
                assert!(places.entry(key(table, old)).or_default().0.replace(old).is_none(), "{changes:?}");
            }
            if let Some(new) = &change.new {
                assert!(places.entry(key(table, new)).or_default().1.replace(new).is_none(), "{changes:?}");
            }
        }
        for (old, new) in places.into_values() {
            self.add(xid, table, old, new);
        }
    }

    fn add(&mut self, xid: u32, table: &str, old: Option<&Row>, new: Option<&Row>) {
        // Old rows come without what is null in them.
        let differ = |name: &&String, old: &Row, new: &Row| {
            old.get(*name).cloned().flatten() != new.get(*name).cloned().flatten()
        };
        let (op, record) = match (old, new) {
            (_, Some(new)) => (if old.is_some() { "update" } else { "insert" }, new),
            (Some(old), None) => ("delete", old),
            (None, None) => return,
        };
        let mut event = Event { op, record, changed: BTreeSet::new(), previous: Row::new() };
        if let (Some(old), Some(new)) = (old, new) {
            let names = new.keys().filter(|name| differ(name, old, new));
            event.changed = names.map(String::as_str).collect();
            if event.changed.is_empty() {
                return;
            }
            event.previous = new
                .keys()
                .filter(|name| event.changed.contains(name.as_str()))
                .map(|name| (name.clone(), old.get(name).cloned().flatten()))
                .collect();
        }
        self.tell(table, key(table, record), xid, &event);
    }

    fn tell(&mut self, table: &str, key: Vec<String>, xid: u32, event: &Event<'_>) {
        // Without nulls: a deleted row is decoded without them.
        let present: BTreeMap<_, _> = event.record.iter().filter(|(_, value)| value.is_some()).collect();
        let text = format!("{} {:?} was {:?} now {present:?}", event.op, event.changed, event.previous);
        let shown = text.chars().take(SHOWN_MAX).collect();
        let told = Told { xid, digest: digest(text.as_bytes()), shown };
        self.rows.entry((table.to_owned(), key)).or_default().push(told);
    }

    /// Adds an event of the outbox: its payload, as `change` shapes it, with its values as texts.
    pub(crate) fn add_event(&mut self, xid: u32, payload: &Value) -> Result<Name, String> {
        let text = |name: &str| payload.get(name).and_then(Value::as_str).unwrap_or_default();
        let op = ["insert", "update", "delete"].into_iter().find(|op| *op == text("op"));
        let op = op.ok_or_else(|| format!("an event with op {:?}", payload.get("op")))?;
        let table = text("table");
        let record = row(payload.get("record")).ok_or("an event without a record")?;
        let changed = payload.get("changed").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let event = Event {
            op,
            record: &record,
            changed: changed.iter().filter_map(Value::as_str).collect(),
            previous: row(payload.get("previous")).unwrap_or_default(),
        };
        let name = (table.to_owned(), key(table, &record));
        self.tell(table, name.1.clone(), xid, &event);
        Ok(name)
    }

    /// Where another tells something else, in words.
    pub(crate) fn differences(&self, outbox: &Self) -> Vec<String> {
        let names: BTreeSet<&Name> = self.rows.keys().chain(outbox.rows.keys()).collect();
        let nothing = Vec::new();
        let mut found = Vec::new();
        for name in names {
            let (ours, theirs) =
                (self.rows.get(name).unwrap_or(&nothing), outbox.rows.get(name).unwrap_or(&nothing));
            if ours == theirs {
                continue;
            }
            let at = ours.iter().zip(theirs).take_while(|(one, other)| one == other).count();
            let counts = (ours.len(), theirs.len());
            found.push(format!(
                "{name:?}: {counts:?} changes decoded and told; number {at} is decoded as {:?}, and told as {:?}",
                ours.get(at),
                theirs.get(at)
            ));
        }
        found
    }
}

fn key_of_old(table: &str, change: &Change) -> Option<Vec<String>> {
    change.old.as_ref().map(|old| key(table, old))
}

fn key(table: &str, row: &Row) -> Vec<String> {
    let value = |name: &&str| row.get(*name).cloned().flatten().unwrap_or_default();
    key_of(table).iter().map(value).collect()
}

/// An object of texts.
fn row(object: Option<&Value>) -> Option<Row> {
    let texts = object?.as_object()?.iter();
    Some(texts.map(|(name, value)| (name.clone(), value.as_str().map(str::to_owned))).collect())
}
