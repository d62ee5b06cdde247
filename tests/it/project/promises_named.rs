//! Every test that a page names exists, and every promise and fault names one.

use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn every_test_that_a_page_names_exists() {
    let mut missing = Vec::new();

    for page in
        ["README.md", "ARCHITECTURE.md", "docs/reference/reliability.md", "docs/how-to/restore-a-backup.md"]
    {
        let names = tests_named(&read(page));
        missing.extend(names.into_iter().filter(|name| !exists(name)).map(|name| format!("{page}: {name}")));
    }

    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_promise_names_a_test() {
    let rows = promises();

    assert!(rows.len() >= 10, "{rows:?}");
    for row in rows {
        assert!(!tests_named(&row).is_empty(), "{row}");
    }
}

#[test]
fn every_kind_of_copy_and_restore_names_a_test() {
    let page = read("docs/how-to/restore-a-backup.md");
    let (_, table) = page.split_once("## What happens to events").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();

    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();

    assert!(rows.len() >= 12, "{rows:?}");
    for row in rows {
        assert!(!tests_named(row).is_empty(), "{row}");
    }
}

#[test]
fn every_promise_in_the_readme_is_one_of_the_promises() {
    let readme = read("README.md");
    let (_, list) = readme.split_once("## Promises").unwrap();
    let (list, _) = list.split_once("\n## ").unwrap();

    let promised: Vec<&str> = list.split("**").skip(1).step_by(2).collect();

    assert!(promised.len() >= 6, "{promised:?}");
    let rows = promises();
    for promise in promised {
        assert!(rows.iter().any(|row| row.starts_with(&format!("| **{promise}**"))), "{promise}");
    }
}

#[test]
fn every_mutant_is_in_the_table_of_guards() {
    let page = read("docs/reference/reliability.md");
    let (_, guards) = page.split_once("## Guards").unwrap();
    let mut patches = 0;

    for patch in fs::read_dir(Path::new(ROOT).join("tests/mutants")).unwrap() {
        let text = fs::read_to_string(patch.unwrap().path()).unwrap();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        let tests: Vec<String> = field("fails: ").split(' ').map(|test| format!("`{test}`")).collect();
        let row = format!("| {} | {} |", field("guard: "), tests.join(", "));

        assert!(guards.contains(&row), "{row}");
        patches += 1;
    }

    assert_eq!(guards.lines().filter(|line| line.starts_with('|') && line.contains("::")).count(), patches);
}

/// The rows of the table of promises.
fn promises() -> Vec<String> {
    let page = read("docs/reference/reliability.md");
    let (_, table) = page.split_once("| promised |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    table.lines().skip(2).map(str::to_owned).collect()
}

/// The text of a page.
pub(crate) fn read(page: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(page)).unwrap()
}

/// What stands in backticks as `folder::module::test`, or with fewer or more modules.
pub(crate) fn tests_named(text: &str) -> Vec<String> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let is_test = |quoted: &&str| quoted.contains("::") && quoted.split("::").all(is_word);
    text.split('`').skip(1).step_by(2).filter(is_test).map(str::to_owned).collect()
}

/// Whether there is a test `folder::module::test`.
pub(crate) fn exists(name: &str) -> bool {
    let (module, test) = name.rsplit_once("::").unwrap();
    let file = Path::new(ROOT).join(format!("tests/it/{}.rs", module.replace("::", "/")));
    fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {test}()")))
}
