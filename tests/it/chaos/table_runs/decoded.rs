//! What logical decoding says happened: the text of `test_decoding`, read from a slot as long as there is work, a whole transaction
//! at a time.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::Client;

use super::stage::{SLOT, Stage};
use super::story::Story;
use super::tables::DECODED;
use crate::chaos::seeded_runs::stage::connect;

/// A row: its columns as texts.
pub(crate) type Row = BTreeMap<String, Option<String>>;

/// One change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The table's name, or a partition's, with its schema.
    pub(crate) relation: String,
    /// None: it was inserted.
    pub(crate) old: Option<Row>,
    /// None: it was deleted.
    pub(crate) new: Option<Row>,
}

/// What one statement did, with what followed from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    pub(crate) is_update: bool,
    pub(crate) changes: Vec<Change>,
}

/// Changes are read in portions of so many, and to the end of a transaction.
const PORTION: i32 = 5_000;

/// Reads what is decoded until the work is over and nothing is left; tells it as a story of rows.
pub(crate) async fn follow(stage: Arc<Stage>) -> Story {
    let mut reader = Reader { seen: HashSet::new(), story: Story::default() };
    let mut client: Option<Client> = None;
    loop {
        // Said before it is read: what was done before is found.
        let is_last = stage.is_done();
        let Some(connected) = client.take().filter(|client| !client.is_closed()) else {
            client = connect(stage.server.url()).await;
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        // A server that goes away is asked again: nothing is forgotten before it was read.
        let Ok(count) = reader.read(&connected).await else { continue };
        client = Some(connected);
        if count == 0 && is_last {
            return reader.story;
        }
        if count == 0 {
            sleep(Duration::from_millis(200)).await;
        }
    }
}

struct Reader {
    /// Transactions that were read. After a crash the slot may stand further back.
    seen: HashSet<u32>,
    story: Story,
}

impl Reader {
    /// Reads a portion; returns how many lines it had.
    async fn read(&mut self, client: &Client) -> Result<usize, tokio_postgres::Error> {
        let peek = format!(
            "select lsn::text, xid::text, data from pg_logical_slot_peek_changes('{SLOT}', null, {PORTION})
             where data like any ('{{BEGIN %,COMMIT %,message: %,table app.%}}')"
        );
        let lines = client.query(&peek, &[]).await?;
        let Some(last) = lines.last() else { return Ok(0) };
        let advance = format!("select pg_replication_slot_advance('{SLOT}', '{}')", last.get::<_, String>(0));
        let mut transaction: Vec<Done> = Vec::new();
        for line in &lines {
            let (xid, data): (&str, &str) = (line.get(1), line.get(2));
            match data.split_whitespace().next() {
                Some("BEGIN") => transaction = vec![Done::default()],
                Some("COMMIT") => {
                    let xid = xid.parse().unwrap();
                    if self.seen.insert(xid) {
                        self.story.add_transaction(xid, &transaction);
                    }
                }
                Some("message:") => {
                    transaction.push(Done { is_update: data.ends_with("update"), changes: Vec::new() });
                }
                _ => transaction.last_mut().unwrap().changes.extend(change(data)),
            }
        }
        client.batch_execute(&advance).await?;
        Ok(lines.len())
    }
}

/// Reads a line as `table app.item: UPDATE: old-key: id[integer]:1 … new-tuple: id[integer]:1 …`. None: it is of another table.
fn change(line: &str) -> Option<Change> {
    let (relation, rest) = line.strip_prefix("table ")?.split_once(": ")?;
    DECODED.iter().find(|(_, leaves)| leaves.contains(&relation))?;
    let (kind, rest) = rest.split_once(": ").unwrap();
    let (old, new) = match kind {
        "INSERT" => (None, Some(row(rest, None).0)),
        "DELETE" => (Some(row(rest, None).0), None),
        "UPDATE" => {
            let rest = rest.strip_prefix("old-key: ").expect("replica identity full");
            let (old, rest) = row(rest, None);
            let rest = rest.strip_prefix("new-tuple: ").unwrap();
            let (new, _) = row(rest, Some(&old));
            (Some(old), Some(new))
        }
        _ => panic!("{line}"),
    };
    Some(Change { relation: relation.to_owned(), old, new })
}

/// Reads `id[integer]:1 name[text]:'x' …`, and returns what follows it. `old` has what is stored elsewhere and did not change.
fn row<'a>(mut rest: &'a str, old: Option<&Row>) -> (Row, &'a str) {
    let mut row = Row::new();
    while !rest.is_empty() && !rest.starts_with("new-tuple: ") {
        let (name, after) = rest.split_once('[').unwrap();
        let name = name.trim_matches('"').to_owned();
        let (_, after) = after.split_once("]:").unwrap();
        let (value, after) = value(after);
        rest = after.strip_prefix(' ').unwrap_or(after);
        let value = match value {
            Value::Null => None,
            Value::Text(text) => Some(text),
            Value::Unchanged => old.and_then(|old| old.get(&name)).expect("replica identity full").clone(),
        };
        row.insert(name, value);
    }
    (row, rest)
}

enum Value {
    Null,
    Text(String),
    Unchanged,
}

/// Reads a value: in quotes, which are doubled in it, or up to a space.
fn value(text: &str) -> (Value, &str) {
    let Some(mut rest) = text.strip_prefix('\'') else {
        let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
        let value = match word {
            "null" => Value::Null,
            "unchanged-toast-datum" => Value::Unchanged,
            word => Value::Text(word.to_owned()),
        };
        return (value, rest);
    };
    let mut value = String::new();
    loop {
        let (before, after) = rest.split_once('\'').unwrap();
        value.push_str(before);
        let Some(doubled) = after.strip_prefix('\'') else { return (Value::Text(value), after) };
        value.push('\'');
        rest = doubled;
    }
}

#[test]
fn a_decoded_line_is_read_as_it_was_written() {
    let line = "table app.item: UPDATE: old-key: id[integer]:1 name[text]:'O''Brien \n[x]:''' doc[text]:'long' \
                new-tuple: id[integer]:2 name[text]:'' \"Flag Day\"[boolean]:true data[jsonb]:null doc[text]:unchanged-toast-datum";
    let row = |pairs: &[(&str, Option<&str>)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect::<Row>()
    };

    let read = change(line).unwrap();

    let old = row(&[("id", Some("1")), ("name", Some("O'Brien \n[x]:'")), ("doc", Some("long"))]);
    let new = [
        ("id", Some("2")),
        ("name", Some("")),
        ("Flag Day", Some("true")),
        ("data", None),
        ("doc", Some("long")),
    ];
    assert_eq!(read, Change { relation: "app.item".to_owned(), old: Some(old), new: Some(row(&new)) });
}
