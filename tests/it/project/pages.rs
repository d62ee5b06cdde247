//! The pages for people: every link leads somewhere, every file that is named exists, and nobody has to search.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Beside those under docs/.
const PAGES: [&str; 5] = ["README.md", "ARCHITECTURE.md", "SECURITY.md", "BENCHMARKS.md", "CHANGELOG.md"];

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_of_it() {
    let mut broken = Vec::new();

    for page in pages() {
        for link in links(&text(&page)) {
            if !leads_somewhere(&page, &link) {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }

    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn every_file_that_a_page_names_exists() {
    let mut missing = Vec::new();

    for page in pages() {
        for path in files_named(&text(&page)) {
            if !Path::new(ROOT).join(&path).exists() {
                missing.push(format!("{}: {path}", page.display()));
            }
        }
    }

    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_page_of_the_documentation_is_in_the_index_and_names_the_next_one() {
    let index = text(Path::new("docs/README.md"));
    let mut complaints = Vec::new();

    for page in pages() {
        let Ok(name) = page.strip_prefix("docs") else { continue };
        let text = text(&page);
        let last = text.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
        if !last.starts_with("Next: [") {
            complaints.push(format!("{}: no next page", page.display()));
        }
        if name != Path::new("README.md") && !index.contains(&format!("]({})", name.display())) {
            complaints.push(format!("{}: not in the index", page.display()));
        }
    }

    assert_eq!(complaints, Vec::<String>::new());
}

/// All pages, relative to the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = PAGES.iter().map(PathBuf::from).collect();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(ROOT).join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if Path::new(ROOT).join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

/// A page without its blocks of code.
fn text(page: &Path) -> String {
    let text = fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
    text.split("```").step_by(2).collect()
}

/// Where links lead that stay in the repository.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).filter(|target| !target.starts_with("http")).collect()
}

fn leads_somewhere(page: &Path, link: &str) -> bool {
    let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
    let target = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    if !Path::new(ROOT).join(&target).is_file() {
        return false;
    }
    heading.is_none_or(|heading| {
        text(&target).lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading)
    })
}

/// The anchor that a heading has on a page.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Paths in backticks; `<...>` and `*` stand for names of many files.
fn files_named(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| {
        ["src/", "sql/", "tests/", "scripts/", "docs/"].iter().any(|folder| word.starts_with(folder))
            && !word.contains(['<', '*', '{', '['])
    };
    quoted.map(|quoted| quoted.split(' ').next().unwrap()).filter(is_path).map(str::to_owned).collect()
}
