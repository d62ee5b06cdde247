//! A table of the user's own as its owner wants it attached. A setting is declared here once, for the command line and the API.
//!
//! ```text
//! flags of table attach ──┐
//! body of PUT ────────────┴─> TableSpec ── check ─> CheckedTable ── store/tables ─> postrider.attach_table
//! ```
//!
//! `postrider.attach_table` knows the columns of the table and the labels of its enum. So a name of a column is checked there.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::topic::check_topic;
use crate::store::CheckedTable;
use crate::validation::Problems;

/// Shape of a payload that needs no topic: it has one in each row.
const DEBEZIUM: &str = "debezium";
const OPS: [&str; 4] = ["insert", "update", "delete", "truncate"];
const WRITE_BACK: [&str; 4] = ["none", "final", "all", "delete"];
const ON_ERROR: [&str; 2] = ["fail", "skip"];
const STATUSES: [&str; 4] = ["pending", "in_progress", "complete", "failed"];
/// Longest condition, in bytes.
const WHEN_BYTES_MAX: usize = 10_000;

/// A table as its owner wants it attached. A setting that is left out has its default.
///
/// The fields that clap skips have flags of a form of their own (`config::args::TableAttach`).
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    as = TableBody,
    description = "A table as its owner wants it attached. A field that is left out, or null, has its default."
)]
pub struct TableSpec {
    /// Topic of the events; `{column}` and `{op}` stand for values [default with --payload debezium:
    /// `{aggregatetype}.{type}`]
    #[arg(long, value_name = "TOPIC")]
    #[schema(example = "configuration.updated")]
    pub topic: Option<String>,
    /// The payload of each event: row, change, supabase, debezium, or a column as it stands [default: row]
    #[arg(long, value_name = "COLUMN|row|change|supabase|debezium")]
    #[schema(example = "content")]
    pub payload: Option<String>,
    /// Column whose value is the key of the events [default: the primary key]
    #[arg(long, value_name = "COLUMN")]
    pub key: Option<String>,
    /// The only endpoint that gets the event of a row, as `devices/{destination}`; `{column}` stands for the row's value
    /// [default: every endpoint that subscribes to the topic]
    #[arg(long, value_name = "TEMPLATE")]
    #[schema(example = "devices/{destination}")]
    pub destination: Option<String>,
    /// Column that gets the status of the row's newest event
    #[arg(long, value_name = "COLUMN")]
    #[schema(example = "status")]
    pub status: Option<String>,
    /// Words of the column for `pending`, `in_progress`, `complete` and `failed`, where it has others
    #[arg(skip)]
    #[schema(value_type = Option<HashMap<String, String>>, example = json!({"complete": "done", "failed": "error"}))]
    pub status_map: Option<Map<String, Value>>,
    /// The statuses that are written into the row: none; final (complete, failed); all (`in_progress`, too); delete: the row is deleted when
    /// its newest event is complete [default: all with --status, none without]
    #[arg(long, value_name = "none|final|all|delete")]
    #[schema(pattern = "^(none|final|all|delete)$")]
    pub write_back: Option<String>,
    /// The operations that make events: insert, update, delete, truncate; several with commas [default: insert,update,delete]
    #[arg(long, value_delimiter = ',', value_name = "OPERATIONS")]
    #[schema(max_items = 4, example = json!(["insert", "update"]))]
    pub on: Option<Vec<String>>,
    /// Condition in SQL on `new` and `old`, as `new.status = 'pending'` [default: every row]
    #[arg(long, value_name = "SQL")]
    #[schema(max_length = 10000, example = "new.status = 'pending'")]
    pub when: Option<String>,
    /// Columns that payloads show; an update of none of them sends nothing; several with commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    pub columns: Option<Vec<String>>,
    /// If an event cannot be written: fail the statement, or skip the event and count it [default: fail]
    #[arg(long, value_name = "fail|skip")]
    #[schema(pattern = "^(fail|skip)$")]
    pub on_error: Option<String>,
    /// Send the rows that are there, too; dispatchers do it in the background
    #[arg(long)]
    #[serde(default)]
    pub backfill: bool,
}

impl TableSpec {
    /// Checks everything that can be told without the table, so that all faults are reported. `None` if there are any.
    pub fn check(self, problems: &mut Problems) -> Option<CheckedTable> {
        self.check_topic(problems);
        for (name, text) in [("payload", &self.payload), ("key", &self.key), ("status", &self.status)] {
            check_text(name, text.as_deref(), problems);
        }
        if let Some(template) = &self.destination
            && filled(template).is_none_or(|text| text.is_empty())
        {
            let form = "needs an endpoint's id, in which {column} stands for a value";
            problems.add("destination", form, Some(template));
        }
        check_word("write_back", self.write_back.as_deref(), &WRITE_BACK, problems);
        check_word("on_error", self.on_error.as_deref(), &ON_ERROR, problems);
        for op in self.on.iter().flatten() {
            check_word("on", Some(op), &OPS, problems);
        }
        if self.on.as_ref().is_some_and(Vec::is_empty) {
            problems.add("on", &format!("needs at least one of {}", OPS.join(", ")), None);
        }
        for column in self.columns.iter().flatten() {
            check_text("columns", Some(column), problems);
        }
        check_when(self.when.as_deref(), problems);
        self.check_statuses(problems);
        problems.is_empty().then(|| CheckedTable { settings: self.settings() })
    }

    fn check_topic(&self, problems: &mut Problems) {
        let Some(topic) = &self.topic else {
            if self.payload.as_deref() != Some(DEBEZIUM) {
                problems.add("topic", "is missing: it has a default with the payload debezium alone", None);
            }
            return;
        };
        // A value may be any word; longer topics fail when the event is written.
        let fault = match filled(topic) {
            Some(text) => check_topic(&text).err().map(|fault| fault.to_string()),
            None => Some("needs a name between each { and }".to_owned()),
        };
        if let Some(fault) = fault {
            problems.add("topic", &fault, Some(topic));
        }
    }

    fn check_statuses(&self, problems: &mut Problems) {
        let writes_status = matches!(self.write_back.as_deref(), Some("final" | "all"));
        if writes_status && self.status.is_none() {
            problems.add("status", "is missing: write_back needs a column to write to", None);
        }
        for (status, word) in self.status_map.iter().flatten() {
            check_word("status_map", Some(status), &STATUSES, problems);
            if !word.is_string() {
                problems.add("status_map", &format!("needs a text for {status}"), None);
            }
        }
        if self.status_map.is_some() && self.status.is_none() {
            problems.add("status", "is missing: status_map has words for it", None);
        }
    }

    /// The arguments of `postrider.attach_table` by name; null: the default.
    fn settings(self) -> Map<String, Value> {
        let text = |value: Option<String>| value.map_or(Value::Null, Value::String);
        let list = |value: Option<Vec<String>>| value.map_or(Value::Null, Value::from);
        [
            ("topic", text(self.topic)),
            ("payload", text(self.payload)),
            ("key", text(self.key)),
            ("destination", text(self.destination)),
            ("status", text(self.status)),
            ("status_map", self.status_map.map_or(Value::Null, Value::Object)),
            ("write_back", text(self.write_back)),
            ("on_ops", list(self.on)),
            ("when_sql", text(self.when)),
            ("columns", list(self.columns)),
            ("on_error", text(self.on_error)),
            ("backfill", self.backfill.into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
    }
}

/// A template with a word in place of each `{name}`. `None` if a brace has no partner, or no name is between them.
fn filled(template: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}')?;
        if name.is_empty() || name.contains('{') || before.contains('}') {
            return None;
        }
        text.push_str(before);
        text.push('x');
        rest = behind;
    }
    (!rest.contains('}')).then(|| text + rest)
}

fn check_text(name: &str, text: Option<&str>, problems: &mut Problems) {
    if text.is_some_and(|text| text.is_empty() || text.contains('\0')) {
        problems.add(name, "needs a name, without NUL", text);
    }
}

fn check_word(name: &str, word: Option<&str>, allowed: &[&str], problems: &mut Problems) {
    if word.is_some_and(|word| !allowed.contains(&word)) {
        problems.add(name, &format!("needs one of {}", allowed.join(", ")), word);
    }
}

/// The server reads the condition; it may hold what is secret, so it is not shown.
fn check_when(text: Option<&str>, problems: &mut Problems) {
    let is_wrong = |text: &str| text.trim().is_empty() || text.len() > WHEN_BYTES_MAX || text.contains('\0');
    if text.is_some_and(is_wrong) {
        let form = format!("needs a condition in SQL of at most {WHEN_BYTES_MAX} bytes, none of them NUL");
        problems.add("when", &form, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_read_like_a_topic_with_a_word_for_each_value() {
        for (template, text) in [
            ("a.b", Some("a.b")),
            ("{aggregatetype}.{type}", Some("x.x")),
            ("device_{kind}.{op}", Some("device_x.x")),
            ("devices/{destination}", Some("devices/x")),
            ("{", None),
            ("a}", None),
            ("{}", None),
            ("{a{b}}", None),
            ("}{a}", None),
        ] {
            assert_eq!(filled(template).as_deref(), text, "{template}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let spec = TableSpec {
            topic: Some("a..b".to_owned()),
            destination: Some("devices/{".to_owned()),
            write_back: Some("sometimes".to_owned()),
            on: Some(vec!["upsert".to_owned()]),
            when: Some(" ".to_owned()),
            columns: Some(vec![String::new()]),
            on_error: Some("ignore".to_owned()),
            status_map: Some([("done".to_owned(), Value::from(1))].into_iter().collect()),
            ..TableSpec::default()
        };
        let mut problems = Problems::default();

        assert!(spec.check(&mut problems).is_none());

        let named: Vec<&str> = problems.iter().map(|problem| problem.name.as_str()).collect();
        let expected = [
            "topic",
            "destination",
            "write_back",
            "on_error",
            "on",
            "columns",
            "when",
            "status_map",
            "status_map",
            "status",
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn a_topic_is_needed_unless_each_row_has_one() {
        for (payload, is_fine) in [(None, false), (Some("row"), false), (Some(DEBEZIUM), true)] {
            let spec = TableSpec { payload: payload.map(str::to_owned), ..TableSpec::default() };

            assert_eq!(spec.check(&mut Problems::default()).is_some(), is_fine, "{payload:?}");
        }
    }
}
