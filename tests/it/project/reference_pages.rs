//! The pages of docs/reference say what the program and the schema say of themselves.
//! `scripts/update-reference` writes the parts that are generated.

use std::fs;

use crate::support::{CommandOutput, Database, command, one_endpoint, variable};

const BEGIN: &str = "<!-- Written by scripts/update-reference, down to the next such line. -->\n";
const END: &str = "<!-- Written by hand again. -->\n";
/// What the help of every command ends with.
const GLOBAL_OPTIONS: &str = "Options of every command:\n";
/// Commands that take all settings of `run`.
const LIKE_RUN: [&str; 2] = ["doctor", "config show"];
/// Tables and views that people read, functions that people call: by grants, and by comments that do not say "Private".
const SCHEMA: &str = r#"
with relation as (
    select c.oid, c.relname::text as name
    from pg_class as c
    where c.relnamespace = 'postrider'::regnamespace and c.relkind in ('r', 'v')
        and (c.relname = 'outbox' or has_table_privilege('postrider_reader', c.oid, 'select')
            or has_table_privilege('postrider_producer', c.oid, 'select'))
        and obj_description(c.oid, 'pg_class') not like '%Private%'
), chapter as (
    select 1 as part, r.name <> 'outbox' as is_view, r.name, obj_description(r.oid, 'pg_class') as comment,
        (select string_agg(format('| `%s` | %s | %s |', a.attname, format_type(a.atttypid, a.atttypmod),
                replace(replace(replace(col_description(r.oid, a.attnum), '*', '\*'), '<', '\<'), '|', '\|')), E'\n' order by a.attnum)
            from pg_attribute as a
            where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
                and col_description(r.oid, a.attnum) not like 'Private%') as detail
    from relation as r
    union all
    select 2, true, p.proname::text, obj_description(p.oid, 'pg_proc'),
        replace(pg_get_function_arguments(p.oid), ', ', E',\n    ')
    from pg_proc as p
    where p.pronamespace = 'postrider'::regnamespace and p.provolatile = 'v' and p.prorettype <> 'trigger'::regtype
        and has_function_privilege('postrider_dispatcher', p.oid, 'execute')
        and obj_description(p.oid, 'pg_proc') not like '%Private%'
)
select string_agg(format(E'### `postrider.%s`\n\n%s\n\n%s\n\n', name,
        replace(replace(comment, '*', '\*'), '<', '\<'),
        case part
            when 1 then E'| column | type | meaning |\n|---|---|---|\n' || detail
            else format(E'```sql\npostrider.%s(\n    %s\n)\n```', name, detail)
        end), '' order by part, is_view, name collate "C")
from chapter
"#;

#[tokio::test]
async fn the_reference_of_sql_is_what_the_schema_says_of_itself() {
    let database = Database::new().await;

    let generated: String = database.value(SCHEMA).await;

    compare("docs/reference/sql.md", &generated);
}

#[tokio::test]
async fn the_reference_of_the_command_line_is_what_help_says() {
    let mut generated = String::new();

    let settings = options(&help("run").await);
    for path in commands().await {
        let help = help(&path).await;
        let (own, rest) = help.split_once(GLOBAL_OPTIONS).unwrap();
        let own = if LIKE_RUN.contains(&path.as_str()) { without(own, &settings) } else { own.to_owned() };
        let examples = rest.split_once("\n\n").map_or("", |(_, examples)| examples);
        let text = format!("{}\n\n{examples}", own.trim_end());
        generated.extend(["## `postrider ", &path, "`\n\n```text\n", text.trim(), "\n```\n\n"]);
    }

    compare("docs/reference/cli.md", &generated);
}

#[tokio::test]
async fn the_reference_of_the_configuration_has_every_setting_and_its_default() {
    let nowhere = "postgres://nobody@127.0.0.1:1/nothing";
    let settings = CommandOutput::run(nowhere, &["config", "show", "--json"]).await.json();
    let page = read("docs/reference/configuration.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `--")).collect();

    for (name, setting) in settings.as_object().unwrap() {
        let flag = format!("| `--{}` | `POSTRIDER_{}`", name.replace('_', "-"), name.to_uppercase());
        let row = rows.iter().find(|row| row.starts_with(&flag)).unwrap_or_else(|| panic!("no row {flag}"));
        let value = setting["value"].as_str().map_or_else(|| setting["value"].to_string(), str::to_owned);
        if setting["source"] != "default" || setting["value"].is_null() || setting["value"].is_array() {
            continue;
        }
        assert_eq!(row.split('|').nth(3).unwrap().trim(), format!("`{value}`"), "{row}");
    }

    assert_eq!(rows.len(), settings.as_object().unwrap().len() + 1, "--config, and each setting");
}

#[tokio::test]
async fn the_reference_of_endpoints_has_every_setting() {
    let database = Database::new().await;
    // What is no setting: its name, and what commands pass beside a sealed key or a secret of their own.
    let names: String = database
        .value(
            "select string_agg(name, ' ')
             from pg_proc as p, unnest(p.proargnames, p.proargmodes) as a(name, mode)
             where p.oid::regprocedure::text like 'postrider.put_endpoint(%' and mode = 'i'
                and name not in ('id', 'public_key', 'new_secret_if_created')",
        )
        .await;
    let page = read("docs/reference/endpoints.md");

    for name in names.split(' ') {
        let rows = page.lines().filter(|line| line.starts_with(&format!("| `{name} ")));
        assert!(rows.filter(|row| row.contains(&format!("| `{name}`"))).count() == 1, "{name}");
    }
}

#[tokio::test]
async fn the_reference_of_http_has_every_header_of_a_request() {
    // What HTTP itself needs.
    const PLAIN: [&str; 3] = ["host", "accept", "content-length"];
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    let page = read("docs/reference/http.md");

    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    let mut missing = Vec::new();
    for name in request.headers.keys() {
        if !PLAIN.contains(&name.as_str()) && !page.contains(&format!("\n{name}: ")) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn the_reference_of_http_has_the_reserved_names() {
    let database = Database::new().await;
    let page = read("docs/reference/http.md");
    let (_, list) = page.split_once("Reserved names are refused in both: ").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();

    let names: Vec<&str> = list.split('`').skip(1).step_by(2).collect();

    assert!(names.len() >= 16, "{names:?}");
    for name in names {
        let header = name.replace('*', "x");
        let query = format!("select postrider.are_headers_valid('{{\"{header}\": \"x\"}}')");
        let is_valid: bool = database.value(&query).await;
        assert!(!is_valid, "{name}");
    }
}

/// Compares the generated part of a page, or writes it.
fn compare(page: &str, generated: &str) {
    let text = read(page);
    let (head, rest) = text.split_once(BEGIN).unwrap();
    let (shown, tail) = rest.split_once(END).unwrap();

    let generated = format!("\n{generated}");
    if variable("POSTRIDER_TEST_UPDATE_REFERENCE").is_some() {
        let file = format!("{}/{page}", env!("CARGO_MANIFEST_DIR"));
        fs::write(file, format!("{head}{BEGIN}{generated}{END}{tail}")).unwrap();
        return;
    }
    assert!(shown == generated, "{page} is not what is so: run scripts/update-reference");
}

async fn help(path: &str) -> String {
    let args: Vec<&str> = path.split(' ').chain(["--help"]).collect();
    let ended = CommandOutput::of(command(&args)).await;
    assert_eq!(ended.code, Some(0), "{path}: {}", ended.stderr);
    ended.stdout
}

/// Every command that does something, as `endpoint put`, in the order of the help.
async fn commands() -> Vec<String> {
    let mut found = Vec::new();
    let names = |help: &str| -> Vec<String> {
        let Some((_, list)) = help.split_once("Commands:\n") else { return Vec::new() };
        let lines = list.lines().take_while(|line| line.starts_with("  "));
        lines
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .map(str::to_owned)
            .collect()
    };
    let ended = CommandOutput::of(command(&["--help"])).await;
    for name in names(&ended.stdout) {
        let below = names(&help(&name).await);
        if below.is_empty() {
            found.push(name);
        } else {
            found.extend(below.into_iter().map(|below| format!("{name} {below}")));
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

/// The names of the options in a help.
fn options(help: &str) -> Vec<String> {
    let (own, _) = help.split_once(GLOBAL_OPTIONS).unwrap();
    own.lines().filter_map(option).map(str::to_owned).collect()
}

/// The name of the option that a line of a help tells of.
fn option(line: &str) -> Option<&str> {
    let name = line.strip_prefix("      --")?;
    Some(name.split([' ', '[']).next().unwrap())
}

/// A help without these options; a line says where they are told of.
fn without(help: &str, options: &[String]) -> String {
    let is_kept = |line: &&str| option(line).is_none_or(|name| !options.iter().any(|other| other == name));
    let kept: Vec<&str> = help.lines().filter(is_kept).collect();
    kept.join("\n").replace(
        "Options:\n",
        "Options:\n      ...                           All settings of run, see there\n",
    )
}

fn read(page: &str) -> String {
    fs::read_to_string(format!("{}/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
