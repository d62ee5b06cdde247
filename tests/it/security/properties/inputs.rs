//! Hostile inputs: the corpora under `tests/corpora`, what chance makes of them, and chance alone.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};

use crate::support::variable;

/// What a change of an input puts in: whatever some parser gives a meaning to.
const PUT_IN: &str = "\0\t\r\n \\/@:;?#%&='\"`[](){}<>*.,+-_|~019aZ\u{7f}\u{85}\u{ad}\u{2028}\u{202e}é１。K";

/// Every input of a corpus.
pub(crate) fn corpus(name: &str) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/corpora/{name}.txt"));
    let text = fs::read_to_string(file).unwrap();
    let inputs: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{name}: {line}: {fault}")))
        .collect();
    assert!(inputs.len() >= 30, "{name}: {}", inputs.len());
    inputs
}

/// Holds a property against every input of a corpus, and against so many others (256, or `PROPTEST_CASES`): half of them
/// made from these, half of any characters.
pub(super) fn hold(name: &str, property: impl Fn(&str) -> TestCaseResult) {
    let inputs = corpus(name);
    for input in &inputs {
        property(input).unwrap_or_else(|fault| panic!("{input:?}: {fault}"));
    }
    hold_for(like(inputs), |input| property(&input));
}

/// Holds a property against so many values (256, or `PROPTEST_CASES`).
pub(super) fn hold_for<S: Strategy>(values: S, property: impl Fn(S::Value) -> TestCaseResult) {
    runner().run(&values, property).unwrap_or_else(|fault| panic!("{fault}"));
}

/// A corpus, and so many others made as in [`hold`]: for a property that is asked of the database, all at once.
pub(super) fn sample(name: &str) -> Vec<String> {
    let (mut inputs, mut runner) = (corpus(name), runner());
    let like = like(inputs.clone());
    let others = (0..runner.config().cases).map(|_| like.new_tree(&mut runner).unwrap().current());
    let others: Vec<String> = others.collect();
    inputs.extend(others);
    inputs
}

/// Leaves no file behind: what fails is printed, and belongs into the corpus. The same inputs in every run of the suite; others
/// where `PROPTEST_CASES` asks for more.
fn runner() -> TestRunner {
    let config = Config { failure_persistence: None, ..Config::default() };
    if variable("PROPTEST_CASES").is_some() {
        return TestRunner::new(config);
    }
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

fn like(inputs: Vec<String>) -> impl Strategy<Value = String> {
    prop_oneof![changed(inputs), "(?s).{0,140}"]
}

/// The beginning of one input with the end of another, and a few changes.
fn changed(inputs: Vec<String>) -> impl Strategy<Value = String> {
    let halves = (select(inputs.clone()), select(inputs), any::<bool>(), any::<Index>());
    let put_in = prop_oneof![4 => select(PUT_IN.chars().collect::<Vec<_>>()), 1 => any::<char>()];
    let changes = prop::collection::vec((any::<Index>(), 0..3_u8, put_in), 0..4);
    (halves, changes).prop_map(|((first, second, is_spliced, cut), changes)| {
        let mut text: Vec<char> = first.chars().collect();
        if is_spliced {
            let second: Vec<char> = second.chars().collect();
            text.truncate(cut.index(text.len() + 1));
            text.extend(&second[cut.index(second.len() + 1)..]);
        }
        for (at, kind, c) in changes {
            let at = at.index(text.len() + 1);
            match kind {
                0 => text.insert(at, c),
                1 if at < text.len() => text[at] = c,
                _ => drop(text.drain(at..text.len().min(at + 1))),
            }
        }
        text.into_iter().collect()
    })
}
