//! The rooms of `src/` use each other as the table in `src/lib.rs` says: downwards, without a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

#[test]
fn rooms_use_each_other_as_the_table_says_and_only_those_above() {
    let table = table();
    let mut found: BTreeMap<String, BTreeSet<String>> =
        table.iter().map(|(room, _)| (room.clone(), BTreeSet::new())).collect();
    for file in sources(Path::new(SOURCES)) {
        let Some(room) = room_of(&file) else { continue };
        let uses =
            found.get_mut(&room).unwrap_or_else(|| panic!("{} is in no room of the table", file.display()));
        uses.extend(used_rooms(&file).into_iter().filter(|used| *used != room));
    }

    let mut above = BTreeSet::new();
    for (room, said) in table {
        assert_eq!(found[&room], said, "what {room} uses");
        assert!(said.is_subset(&above), "{room} uses a room that does not stand above it");
        above.insert(room);
    }
}

#[test]
fn few_files_stand_outside_of_a_room() {
    let files = std::fs::read_dir(SOURCES).unwrap().map(|entry| entry.unwrap().path());
    let loose: BTreeSet<PathBuf> = files.filter(|path| path.is_file()).collect();

    assert!(loose.len() <= 4, "{loose:?}");
}

/// The rooms in the order of the table, and what each uses.
fn table() -> Vec<(String, BTreeSet<String>)> {
    let text = std::fs::read_to_string(format!("{SOURCES}/lib.rs")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    let read = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [room, _, uses, ..] = cells[..] else { panic!("a row without three cells: {row}") };
        let uses = uses.split(',').map(str::trim).filter(|word| !word.is_empty());
        (room.trim_end_matches("`]").to_owned(), uses.map(str::to_owned).collect())
    };
    let table: Vec<_> = rows.map(read).collect();
    assert!(table.len() > 5, "no table of rooms in lib.rs");
    table
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files = Vec::new();
    for path in entries {
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

/// `src/store/pool.rs` and `src/store.rs` are in the room `store`; `lib.rs` and `main.rs` are in none.
fn room_of(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(SOURCES).unwrap();
    let first = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
    (!["lib", "main"].contains(&first)).then(|| first.to_owned())
}

/// The rooms that the code of a file names, in `use` lines and elsewhere.
fn used_rooms(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let names = code.flat_map(|line| line.split("crate::").skip(1));
    let room =
        |rest: &str| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    // A name that begins with a capital letter is an item of the crate itself.
    names.map(room).filter(|room| !room.is_empty()).collect()
}
