//! The version of the endpoints: two snapshots of one version show the same endpoints, whatever overlaps with what. Routing
//! relies on it: an endpoint that was committed before an event's insert receives that event.

use std::collections::BTreeMap;

use postrider::store::STATEMENTS;
use tokio_postgres::Client;

use crate::support::Database;

/// What a snapshot shows.
const OBSERVE: &str = "select version, coalesce((select string_agg(concat_ws(' ', id, state), ',' order by id) from postrider.endpoint), '')
                       from postrider.endpoint_version";

/// Sessions and their steps; `{n}` is the number of the trial.
fn sessions() -> Vec<Vec<String>> {
    let fold = STATEMENTS.iter().find(|statement| statement.name == "compact_endpoint_changes").unwrap();
    let fold = fold.sql.replace("$1", "1000");
    let put = |id: &str| format!("select postrider.put_endpoint('{id}{{n}}', 'https://example.com/')");
    vec![
        vec![format!("begin; {}", put("long")), "commit".to_owned()],
        vec![
            format!("begin; savepoint s; {}; rollback to s", put("undone")),
            put("kept"),
            "commit".to_owned(),
        ],
        vec![format!("begin; {fold}"), "commit".to_owned()],
    ]
}

#[tokio::test]
async fn in_every_interleaving_of_changes_a_version_names_one_set_of_endpoints() {
    let database = Database::new().await;
    let sessions = sessions();
    let clients = [database.connect().await, database.connect().await, database.connect().await];
    let mut trials = Vec::new();
    interleave(&sessions.iter().map(Vec::len).collect::<Vec<_>>(), &mut Vec::new(), &mut trials);
    assert_eq!(trials.len(), 210);

    for (n, trial) in trials.iter().enumerate() {
        let mut next = [0; 3];
        let mut seen: BTreeMap<i64, String> = BTreeMap::new();
        let mut newest = 0;
        for session in trial {
            let step = sessions[*session][next[*session]].replace("{n}", &n.to_string());
            next[*session] += 1;
            clients[*session].batch_execute(&step).await.unwrap();

            let (version, shown) = observe(&database.client).await;
            assert!(version >= newest, "{trial:?}: {version} after {newest}");
            newest = version;
            let before = seen.entry(version).or_insert_with(|| shown.clone());
            assert_eq!(*before, shown, "{trial:?}: version {version}");
        }
    }
}

#[tokio::test]
async fn a_change_of_endpoints_waits_for_no_other_transaction() {
    let database = Database::new().await;
    let (open, holder) = (database.connect().await, database.connect().await);
    for client in [&open, &holder] {
        client.batch_execute("set lock_timeout = '5s'").await.unwrap();
    }
    open.batch_execute("begin; select postrider.put_endpoint('open', 'https://example.com/')").await.unwrap();
    holder.batch_execute("begin; select from postrider.installation for update").await.unwrap();

    let other = database.connect().await;
    other
        .batch_execute(
            "set lock_timeout = '1ms';
             select postrider.put_endpoint('other', 'https://example.com/');
             select postrider.pause_endpoint('other');
             select postrider.delete_endpoint('other')",
        )
        .await
        .unwrap();

    let (before, shown) = observe(&database.client).await;
    assert_eq!(shown, "other deleted");
    open.batch_execute("commit").await.unwrap();
    assert_eq!(observe(&database.client).await, (before + 1, "open enabled,other deleted".to_owned()));
}

/// All orders in which sessions with so many steps left can take turns.
fn interleave(left: &[usize], so_far: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    if left.iter().all(|left| *left == 0) {
        found.push(so_far.clone());
    }
    for session in (0..left.len()).filter(|session| left[*session] > 0) {
        let mut left = left.to_vec();
        left[session] -= 1;
        so_far.push(session);
        interleave(&left, so_far, found);
        so_far.pop();
    }
}

async fn observe(client: &Client) -> (i64, String) {
    let row = client.query_one(OBSERVE, &[]).await.unwrap();
    (row.get(0), row.get(1))
}
