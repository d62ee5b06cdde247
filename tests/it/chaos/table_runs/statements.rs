//! Statements at random, of every kind that changes rows. Many fail: a key is taken, a row is locked, a reference is missing.

use fastrand::Rng;

/// One statement.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    /// Whether it is an UPDATE: what was deleted and inserted by it are rows that moved.
    pub(crate) is_update: bool,
    /// What a COPY brings.
    pub(crate) copied: Option<String>,
}

const ITEMS: u32 = 60;
const CHILDREN: u32 = 80;
const SWAPS: u32 = 40;
const PARTS: u32 = 40;
const NAMES: [&str; 8] = [
    "null",
    "'Ada'",
    "'O''Brien'",
    "'Zoë ✓'",
    "e'two\\nlines'",
    "'back\\slash \"quoted\"'",
    "''",
    "'Nobody'",
];
const REGIONS: [&str; 4] = ["eu", "us", "asia", "moon"];

impl Statement {
    /// The next one; servers before 15 know no MERGE.
    pub(crate) fn next(rng: &mut Rng, has_merge: bool) -> Self {
        match rng.u8(..20) {
            0..=9 => item(rng, has_merge),
            10..=11 => child(rng),
            12..=13 => mark(rng),
            14..=15 => swap(rng),
            _ => part(rng),
        }
    }
}

fn other(sql: String) -> Statement {
    Statement { sql, is_update: false, copied: None }
}

fn update(sql: String) -> Statement {
    Statement { sql, is_update: true, copied: None }
}

/// Some ids side by side.
fn range(rng: &mut Rng, count: u32) -> (u32, u32) {
    let first = rng.u32(1..=count);
    (first, first + if rng.bool() { 0 } else { rng.u32(..8) })
}

fn name(rng: &mut Rng) -> &'static str {
    NAMES[rng.usize(..NAMES.len())]
}

/// Nothing, something that is stored small, or something that is stored elsewhere.
fn doc(rng: &mut Rng) -> String {
    match rng.u8(..8) {
        0 => format!("repeat('x', {})", rng.u32(..9_000)),
        1 => "(select string_agg(md5(random()::text), '') from generate_series(1, 200))".to_owned(),
        _ => "null".to_owned(),
    }
}

/// The values of one item after its id.
fn values(rng: &mut Rng) -> String {
    let (grp, name, amount, doc) = (rng.u8(..5), name(rng), rng.u32(..100_000), doc(rng));
    let data = ["null", "'{\"a\": [1, 2.50, null], \"ü\": \"\\u2713\"}'", "'1'", "'[]'"][rng.usize(..4)];
    let rest =
        ["null, null, null, null, null", "true, '2026-02-28', '\\x00ff', '10.0.0.1', 'red'"][rng.usize(..2)];
    format!("{grp}, {name}, {amount} / 100.0, {data}, {rest}, {doc}")
}

const ITEM: &str = "app.item (id, grp, name, amount, data, \"Flag Day\", born, raw, address, colour, doc)";

fn item(rng: &mut Rng, has_merge: bool) -> Statement {
    let (first, last) = range(rng, ITEMS);
    let ids = format!("id between {first} and {last}");
    match rng.u8(..16) {
        0 | 1 => {
            let values = values(rng);
            let rows = format!("select n, {values} from generate_series({first}, {last}) as n");
            other(format!("insert into {ITEM} {rows} on conflict do nothing"))
        }
        2 => other(format!("insert into {ITEM} values ({first}, {})", values(rng))),
        3 | 4 => {
            let (some, others, name) = (values(rng), values(rng), name(rng));
            other(format!(
                "insert into {ITEM} values ({first}, {some}), ({}, {others})
                 on conflict (id) do update set name = {name}, data = excluded.data, amount = excluded.amount
                 where item.grp <> 3",
                last + 1
            ))
        }
        5 | 6 => {
            let (name, amount, colour) = (name(rng), rng.u16(..), ["red", "green"][rng.usize(..2)]);
            update(format!(
                "update app.item set name = {name}, amount = {amount}, colour = '{colour}' where {ids}"
            ))
        }
        7 => update(format!("update app.item set grp = grp, \"Flag Day\" = true where {ids}")),
        8 => update(format!("update app.item set doc = {} where {ids}", doc(rng))),
        9 => update(format!(
            "update app.item set data = coalesce(data, '{{}}') || '{{\"n\": {}}}' where {ids} and jsonb_typeof(data) = 'object'",
            rng.u16(..)
        )),
        10 => other(format!("delete from app.item where {ids}")),
        11 => update(format!("update app.item set id = id + {} where {ids}", rng.u32(1..9))),
        12 => copy(rng, first, last),
        13 => {
            let inserted = values(rng);
            other(format!(
                "with gone as (delete from app.item where {ids} and id % 3 = 0 returning 1),
                      changed as (update app.item set grp = grp + 1 where {ids} and id % 3 = 1 returning 1)
                 insert into {ITEM} select n, {inserted} from generate_series({first}, {last}) as n where n % 3 = 2
                 on conflict do nothing"
            ))
        }
        14 if has_merge => {
            let inserted = values(rng);
            other(format!(
                "merge into app.item using generate_series({first}, {last}) as n on item.id = n
                 when matched and n % 4 = 0 then delete
                 when matched then update set name = 'Merged', grp = item.grp + 1
                 when not matched then insert (id, grp, name, amount, data, \"Flag Day\", born, raw, address, colour, doc)
                     values (n, {inserted})"
            ))
        }
        _ => update(format!(
            "update app.item set amount = child.id from app.child where child.item_id = item.id and item.{ids}"
        )),
    }
}

fn copy(rng: &mut Rng, first: u32, last: u32) -> Statement {
    let row = |id: u32| format!("{id},{},\"copied, {}\",\"{{\"\"n\"\": 1}}\"\n", rng.u8(..5), rng.u16(..));
    Statement {
        sql: "copy app.item (id, grp, name, data) from stdin (format csv)".to_owned(),
        is_update: false,
        copied: Some((first..=last).map(row).collect()),
    }
}

/// Rows that foreign keys change and delete in one statement.
fn child(rng: &mut Rng) -> Statement {
    let (first, last) = range(rng, CHILDREN);
    let ids = format!("id between {first} and {last}");
    let (item, heir) = (rng.u32(1..=ITEMS), rng.u32(1..=ITEMS));
    match rng.u8(..8) {
        0..=3 => other(format!(
            "insert into app.child
             select n, (select min(id) from app.item where id >= {item}), (select max(id) from app.item where id <= {heir}), 'new'
             from generate_series({first}, {last}) as n on conflict do nothing"
        )),
        4 => other(format!("insert into app.child values ({first}, {item}, {heir}, {})", name(rng))),
        5 => update(format!("update app.child set note = {} where {ids}", name(rng))),
        6 => other(format!("delete from app.child where {ids}")),
        // Refused: what it deletes would not be told.
        _ => other("truncate app.child".to_owned()),
    }
}

/// Rows that a foreign key changes twice in one statement.
fn mark(rng: &mut Rng) -> Statement {
    let (first, last) = range(rng, CHILDREN);
    let (one, two) = (rng.u32(1..=ITEMS), rng.u32(1..=ITEMS));
    match rng.u8(..5) {
        0..=3 => other(format!(
            "insert into app.mark
             select n, (select min(id) from app.item where id >= {one}), (select max(id) from app.item where id <= {two})
             from generate_series({first}, {last}) as n
             on conflict (id) do update set one_id = excluded.one_id, two_id = excluded.two_id"
        )),
        _ => other(format!("delete from app.mark where id between {first} and {last}")),
    }
}

fn swap(rng: &mut Rng) -> Statement {
    let (first, last) = range(rng, SWAPS);
    let ids = format!("id between {first} and {last}");
    let (one, two, n) = (rng.u32(1..=SWAPS), rng.u32(1..=SWAPS), rng.u16(..));
    match rng.u8(..8) {
        0 | 1 => other(format!(
            "insert into app.swap select s, {}, {n} from generate_series({first}, {last}) as s
             where not exists (select from app.swap where id = s)",
            name(rng)
        )),
        // Two rows take each other's key.
        2 | 3 => update(format!("update app.swap set id = {one} + {two} - id where id in ({one}, {two})")),
        // All rows move on, into each other's places.
        4 => update(format!("update app.swap set id = id + 1, n = {n} where id >= {first}")),
        5 => update(format!("update app.swap set id = id - 1 where id > {first} and id > 1")),
        6 => update(format!("update app.swap set n = {n} where {ids}")),
        _ => other(format!("delete from app.swap where {ids} or id > {}", 2 * SWAPS)),
    }
}

fn part(rng: &mut Rng) -> Statement {
    let (first, last) = range(rng, PARTS);
    let ids = format!("id between {first} and {last}");
    let region = REGIONS[rng.usize(..REGIONS.len())];
    let n = rng.u16(..);
    match rng.u8(..12) {
        0..=2 => other(format!(
            "insert into app.part select '{region}', n, {}, {n} from generate_series({first}, {last}) as n on conflict do nothing",
            name(rng)
        )),
        3 => other(format!(
            "insert into app.part values ('{region}', {first}, 'upsert', {n})
             on conflict (region, id) do update set note = excluded.note, n = excluded.n"
        )),
        // Statements that name a partition, and a partition of a partition.
        4 => {
            other(format!("insert into app.part_us values ('us', {first}, null, {n}) on conflict do nothing"))
        }
        5 => update(format!("update app.part_eu set n = {n} where {ids}")),
        6 => other(format!("delete from app.part_eu_low where {ids}")),
        7 => update(format!("update app.part_us set note = {} where {ids}", name(rng))),
        // Rows that move to another partition, or within one that has partitions.
        8 => update(format!("update app.part set region = '{region}' where {ids}")),
        9 => update(format!("update app.part_eu set id = id + 20 where {ids}")),
        10 => update(format!("update app.part set n = {n}, note = null where {ids}")),
        _ => other(format!("delete from app.part where {ids}")),
    }
}
