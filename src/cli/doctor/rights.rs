//! Strangers and the schema: their code that it calls, objects and rights that they hold, databases that share its roles,
//! locks of ours that they took. A check appears only if it found something.

use super::Finding;
use super::endpoints::{some, some_by};
use crate::store::{
    BellHolder, ForeignName, ForeignRight, RefusingPublication, ServerRow, SharingDatabase, SilentTrigger,
    Store, StoreError,
};

/// One check for each thing that was found.
pub(super) async fn check(row: &ServerRow, store: &Store) -> Vec<Finding> {
    let checks = [
        owners(row, store).await,
        found("triggers", store.list_silent_triggers().await, |silent| judge_triggers(&silent)),
        found("publications", store.list_refusing_publications().await, |tables| judge_publications(&tables)),
        found("names", store.list_foreign_names().await, |names| judge_names(&names)),
        found("rights", store.list_foreign_rights().await, |rights| judge_rights(&rights)),
        found("roles", store.list_sharing_databases().await, |databases| judge_databases(&databases)),
        found("bell", store.list_bell_holders().await, |holders| judge_holders(&holders)),
    ];
    checks.into_iter().flatten().collect()
}

fn found<T>(
    name: &'static str,
    rows: Result<T, StoreError>,
    judge: impl FnOnce(T) -> Option<Finding>,
) -> Option<Finding> {
    rows.map_or_else(|fault| Some(Finding::broken(name, &fault)), judge)
}

/// The owner of a function that others call can run code with their rights.
async fn owners(row: &ServerRow, store: &Store) -> Option<Finding> {
    const NAME: &str = "owners";
    let strange = match store.list_strange_owners().await {
        Ok(strange) => strange,
        Err(fault) => return Some(Finding::broken(NAME, &fault)),
    };
    let named: Vec<String> =
        strange.iter().map(|strange| format!("{} ({})", strange.object, strange.owner)).collect();
    if let Some(names) = some(&named) {
        return Some(Finding::fail(
            NAME,
            format!("not everything in the schema belongs to its owner: {names}"),
            "look at what it does, then drop it, or: alter ... owner to the schema's owner",
        ));
    }
    if !row.is_superuser {
        return None;
    }
    match store.read_owner().await {
        Err(fault) => Some(Finding::broken(NAME, &fault)),
        Ok(None) => None,
        Ok(Some(owner)) => Some(Finding::warn(
            NAME,
            format!(
                "the schema belongs to role \"{owner}\", and this role, {}, is a superuser: what {owner} writes into its \
                 functions runs with all rights",
                row.role
            ),
            "run as a role with postrider_dispatcher alone, or: alter schema postrider owner to another role",
        )),
    }
}

/// A trigger that does not fire: dispatchers hear of nothing, or go on with endpoints as they were.
fn judge_triggers(silent: &[SilentTrigger]) -> Option<Finding> {
    const NAME: &str = "triggers";
    let missing: Vec<String> = silent.iter().filter(|s| s.is_missing).map(|s| s.trigger.clone()).collect();
    if let Some(names) = some(&missing) {
        return Some(Finding::fail(
            NAME,
            format!("triggers of the schema are missing: {names}"),
            "make them anew, as postrider migrate --print has them",
        ));
    }
    let disabled: Vec<String> = silent.iter().map(|s| s.trigger.clone()).collect();
    Some(Finding::fail(
        NAME,
        format!("triggers of the schema do not fire, or not in every session: {}", some(&disabled)?),
        "postrider migrate, as the schema's owner (those of foreign keys: as a superuser)",
    ))
}

/// Such a table lets nobody update or delete a row.
fn judge_publications(tables: &[RefusingPublication]) -> Option<Finding> {
    const NAME: &str = "publications";
    let named: Vec<String> = tables
        .iter()
        .filter_map(|RefusingPublication { table, publication, reason }| {
            let publication = publication.as_ref()?;
            let why = match reason.as_str() {
                "identity" => "the table has no replica identity",
                "columns" => "its list of columns leaves out the table's key",
                _ => "its row filter uses a column that is not of the table's key",
            };
            Some(format!("{publication} keeps rows of postrider.{table} from being changed ({why})"))
        })
        .collect();
    if let Some(names) = some(&named) {
        return Some(Finding::fail(
            NAME,
            names,
            "alter publication ... drop table, or publish all columns and rows of it; where a table has no replica identity: alter \
             table ... replica identity full",
        ));
    }
    let first = tables.first()?;
    Some(Finding::warn(
        NAME,
        format!(
            "postrider.{} has no replica identity: a publication of all tables would stop it",
            first.table
        ),
        format!("alter table postrider.{} replica identity full", first.table),
    ))
}

fn judge_names(names: &[ForeignName]) -> Option<Finding> {
    const NAME: &str = "names";
    let described = |is_added: bool| -> Vec<String> {
        let those = names.iter().filter(|name| name.is_added == is_added);
        those
            .map(|name| {
                let owner = name.owner.as_ref().map(|owner| format!(" of {owner}")).unwrap_or_default();
                format!("{} uses {}{owner}", name.object, name.depends_on)
            })
            .collect()
    };
    if let Some(bound) = some(&described(false)) {
        return Some(Finding::fail(
            NAME,
            format!(
                "the schema uses what stands neither in it nor in pg_catalog, and runs with the rights of its callers: {bound}"
            ),
            "see who made that, and what it does; then, with search_path = pg_catalog, pg_temp, make the object anew as \
             postrider migrate --print has it",
        ));
    }
    let added = some(&described(true))?;
    Some(Finding::ok(NAME, format!("somebody added to the schema, and dispatchers run: {added}")))
}

fn judge_rights(rights: &[ForeignRight]) -> Option<Finding> {
    let held: Vec<String> = rights.iter().map(|right| right.held.clone()).collect();
    let commands: Vec<String> = rights.iter().map(|right| right.take_back.clone()).collect();
    Some(Finding::warn(
        "rights",
        format!("others than the owner and the three roles hold rights: {}", some(&held)?),
        format!("unless that is meant: {}", some_by(&commands, "; ")?),
    ))
}

/// Roles belong to all databases of a server.
fn judge_databases(databases: &[SharingDatabase]) -> Option<Finding> {
    const NAME: &str = "roles";
    let others: Vec<String> = databases.iter().filter(|d| !d.is_this).map(|d| d.name.clone()).collect();
    let message = format!(
        "the three roles are the server's, and have rights in other databases too: {}",
        some(&others)?
    );
    let open: Vec<String> = databases.iter().filter(|d| d.is_open).map(|d| d.name.clone()).collect();
    let Some(names) = some(&open) else {
        return Some(Finding::ok(NAME, format!("{message}; not everybody may connect to them")));
    };
    Some(Finding::warn(
        NAME,
        format!(
            "{message}; a member in one database is a member in each, and every role may connect to {names}"
        ),
        format!(
            "revoke connect on database {} from public, and grant it to those who work there",
            open.iter().map(|name| format!("\"{name}\"")).next().unwrap_or_default()
        ),
    ))
}

fn judge_holders(holders: &[BellHolder]) -> Option<Finding> {
    let described: Vec<String> = holders
        .iter()
        .map(|BellHolder { what, pid, role, application }| {
            let application = if application.is_empty() { "no name" } else { application };
            format!("session {pid} (role {role}, {application}) holds the {what}")
        })
        .collect();
    let pid = holders.first()?.pid;
    Some(Finding::warn(
        "bell",
        format!(
            "{}, which is a dispatcher's: events are found by polling, later, and none is lost",
            some(&described)?
        ),
        format!("end it, or: select pg_terminate_backend({pid}); and ask who may connect"),
    ))
}
