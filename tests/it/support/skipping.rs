//! Tests that this machine cannot run: said, and counted by `scripts/test`.

use std::fs::OpenOptions;
use std::io::Write;

use super::variable;

/// Says that a test is skipped and why, on stderr and (for `scripts/test`) in the file that `POSTRIDER_TEST_SKIPPED` names.
pub(crate) fn skip(test: &str, reason: &str) {
    let line = format!("skipped: {test}: {reason}\n");
    // Not by eprint, which is shown of failed tests only.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = variable("POSTRIDER_TEST_SKIPPED") {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}
