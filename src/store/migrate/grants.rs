//! The grants of the schema's files: what the three roles should have. A restore without privileges loses them, so they are
//! compared with what a database has, and granted again.

use serde::Serialize;

use super::schema::Schema;

/// One right of one role.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Grant<'a> {
    /// `function`, `table`, `sequence` or `schema`.
    kind: &'a str,
    object: &'a str,
    privilege: &'a str,
    column_name: Option<&'a str>,
    role: &'a str,
}

/// Every statement that grants something, in the order of the files.
pub(super) fn statements(schema: &Schema) -> Vec<String> {
    let tables = schema.migrations().iter().filter_map(|migration| migration.sql()).flat_map(in_text);
    let objects = schema.all_objects().flat_map(|object| in_text(&object.definition()));
    tables.chain(objects).collect()
}

/// The grants as the JSON that `sql/statements/rights/list_missing_grants.sql` compares.
pub(super) fn wanted(schema: &Schema) -> String {
    let statements = statements(schema);
    let all: Vec<Grant<'_>> = statements.iter().flat_map(|statement| read(statement)).collect();
    serde_json::to_string(&all).unwrap_or_default()
}

/// Statements of a file that begin a line with "grant", each in one line, without the semicolon.
fn in_text(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("grant ") {
        let begins_line = before.is_empty() && found.is_empty() || before.ends_with('\n');
        let (statement, following) = after.split_once(';').unwrap_or((after, ""));
        if begins_line {
            let words: Vec<&str> = statement.split_whitespace().collect();
            found.push(format!("grant {}", words.join(" ")));
            rest = following;
        } else {
            rest = after;
        }
    }
    found
}

/// The rights that a statement grants: `grant PRIVILEGES on [KIND] OBJECTS to ROLES`, or `grant PRIVILEGE (COLUMNS) on ...`.
fn read(statement: &str) -> Vec<Grant<'_>> {
    let parts = || {
        let (privileges, rest) = statement.strip_prefix("grant ")?.split_once(" on ")?;
        let (objects, roles) = rest.rsplit_once(" to ")?;
        Some((privileges, objects, roles))
    };
    let Some((privileges, objects, roles)) = parts() else { return Vec::new() };
    let kind = ["function", "sequence", "schema"].into_iter().find(|kind| objects.starts_with(kind));
    let objects = kind.and_then(|kind| objects.strip_prefix(kind)).unwrap_or(objects).trim();
    // The arguments of a function have commas, too.
    let objects: Vec<&str> =
        if kind == Some("function") { vec![objects] } else { objects.split(", ").collect() };
    let columns: Option<(&str, Vec<&str>)> = privileges
        .strip_suffix(')')
        .and_then(|text| text.split_once(" ("))
        .map(|(privilege, columns)| (privilege, columns.split(", ").collect()));
    let privileges: Vec<(&str, Option<&str>)> = match columns {
        Some((privilege, columns)) => columns.into_iter().map(|column| (privilege, Some(column))).collect(),
        None => privileges.split(", ").map(|privilege| (privilege, None)).collect(),
    };
    let kind = kind.unwrap_or("table");
    let mut grants = Vec::new();
    for object in objects {
        for role in roles.split(", ") {
            grants.extend(privileges.iter().map(|&(privilege, column_name)| Grant {
                kind,
                object,
                privilege,
                column_name,
                role,
            }));
        }
    }
    grants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_grant_is_read() {
        let text = "-- we grant select on x to y;\ngrant insert (a,\n    b) on postrider.t to r, s;\n\
                    grant execute on function postrider.f(int, text)\n    to r;\ngrant usage on schema postrider to r;";

        let statements = in_text(text);
        let read: Vec<String> = statements
            .iter()
            .flat_map(|statement| read(statement))
            .map(|g| {
                let column = g.column_name.map(|column| format!("({column})")).unwrap_or_default();
                format!("{}{column} {} {} {}", g.privilege, g.kind, g.object, g.role)
            })
            .collect();

        assert_eq!(
            read,
            [
                "insert(a) table postrider.t r",
                "insert(b) table postrider.t r",
                "insert(a) table postrider.t s",
                "insert(b) table postrider.t s",
                "execute function postrider.f(int, text) r",
                "usage schema postrider r",
            ]
        );
    }

    #[test]
    fn no_statement_of_the_schema_is_left_unread() {
        let statements = statements(&Schema::of_this_binary());

        assert!(statements.len() > 50, "{}", statements.len());
        for statement in &statements {
            assert!(!read(statement).is_empty(), "{statement}");
        }
    }
}
