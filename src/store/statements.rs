//! The statements: each is a file under `sql/`, compiled in.

/// One statement.
#[derive(Debug)]
pub struct Statement {
    /// Its file's name without `.sql`.
    pub name: &'static str,
    /// Its text, header included.
    pub sql: &'static str,
}

macro_rules! statements {
    ($($constant:ident $file:literal)*) => {
        $(pub(super) const $constant: Statement =
            Statement { name: $file, sql: include_str!(concat!("../../sql/", $file, ".sql")) };)*
        /// Every statement, for the test that prepares them all.
        pub const ALL: &[Statement] = &[$($constant),*];
    };
}

statements! {
    CANCEL "cancel"
    CLAIM_DELIVERIES "claim_deliveries"
    CLAIM_EVENTS "claim_events"
    CLOSE_CIRCUIT "close_circuit"
    COUNT_HOSTS "count_hosts"
    DELETE_ENDPOINT "delete_endpoint"
    DELETE_FINISHED "delete_finished"
    DISABLE_ENDPOINT "disable_endpoint"
    FIND_CLAIMABLE "find_claimable"
    FIND_DEAD_CLAIM "find_dead_claim"
    FIND_DUE "find_due"
    FIND_EVENT "find_event"
    FIND_HISTORY "find_history"
    FIND_REFUSED_DELETIONS "find_refused_deletions"
    FIND_STRAYS "find_strays"
    FIND_UNROUTED "find_unrouted"
    FIND_UNWANTED "find_unwanted"
    FOLD_ENDPOINT_CHANGES "fold_endpoint_changes"
    FOLD_TALLIES "fold_tallies"
    FORGET_ENDPOINTS "forget_endpoints"
    FORGET_REFUSED "forget_refused"
    FORGET_SECRETS "forget_secrets"
    GIVE_UP_DELIVERIES "give_up_deliveries"
    HASTEN_PROBE "hasten_probe"
    HASTEN_REFUSED "hasten_refused"
    INSERT_EVENT "insert_event"
    LIST_BELL_HOLDERS "list_bell_holders"
    LIST_DELIVERIES "list_deliveries"
    LIST_ENDPOINTS "list_endpoints"
    LIST_FOREIGN_NAMES "list_foreign_names"
    LIST_FOREIGN_RIGHTS "list_foreign_rights"
    LIST_HIDDEN_TABLES "list_hidden_tables"
    LIST_LACKING_GRANTS "list_lacking_grants"
    LIST_LAGGING_SEQUENCES "list_lagging_sequences"
    LIST_LOCK_HOLDERS "list_lock_holders"
    LIST_OBJECTS "list_objects"
    LIST_OLD_TRANSACTIONS "list_old_transactions"
    LIST_REFUSED_DUE "list_refused_due"
    LIST_REFUSED_EVENTS "list_refused_events"
    LIST_SHARING_DATABASES "list_sharing_databases"
    LIST_STRANGE_OWNERS "list_strange_owners"
    LIST_TABLES "list_tables"
    LIST_TALLIED "list_tallied"
    LIST_UNROUTED "list_unrouted"
    LIST_UNSEALED "list_unsealed"
    LOAD_ENDPOINTS "load_endpoints"
    LOAD_EVENTS "load_events"
    LOCK_ENDPOINT "lock_endpoint"
    MEASURE_BACKLOG "measure_backlog"
    MEASURE_ENDPOINTS "measure_endpoints"
    MEASURE_SERVER "measure_server"
    MEASURE_TABLES "measure_tables"
    MEND_SEQUENCES "mend_sequences"
    NOTE_FAILURES "note_failures"
    NOTE_RESTORE "note_restore"
    PAUSE_ENDPOINT "pause_endpoint"
    PUT_ENDPOINT "put_endpoint"
    READ_BACKLOG "read_backlog"
    READ_DELIVERY "read_delivery"
    READ_DISPATCHERS "read_dispatchers"
    READ_EVENT "read_event"
    READ_EVENT_STATUS "read_event_status"
    READ_FLOOR "read_floor"
    READ_LATENESS "read_lateness"
    READ_OWNER "read_owner"
    READ_RESTORED "read_restored"
    READ_SECRETS "read_secrets"
    READ_SERVER "read_server"
    READ_TIME "read_time"
    REGISTER_DISPATCHER "register_dispatcher"
    RELEASE_DELIVERIES "release_deliveries"
    REMOVE_DISPATCHERS "remove_dispatchers"
    RENEW_LEASE "renew_lease"
    REPLAY "replay"
    RESCUE_CLAIMS "rescue_claims"
    RESTORE_EVENTS "restore_events"
    RESUME_ENDPOINT "resume_endpoint"
    RETRY "retry"
    RETRY_FAILED "retry_failed"
    ROTATE_SECRET "rotate_secret"
    ROUTE_EVENTS "route_events"
    SAVE_FLOOR "save_floor"
    SEAL_SECRETS "seal_secrets"
    SETTLE_DELIVERIES "settle_deliveries"
    SET_ASIDE "set_aside"
    SOUND_CANARY "sound_canary"
    SUM_TALLIES "sum_tallies"
    TAKE_PROBES "take_probes"
}

/// Statements of the listening connection, which is not in the pool (see `listener.rs`).
pub mod session {
    use super::Statement;

    macro_rules! session {
        ($($constant:ident $file:literal)*) => {
            $(#[doc = concat!("`sql/", $file, ".sql`")]
            pub const $constant: Statement =
                Statement { name: $file, sql: include_str!(concat!("../../sql/", $file, ".sql")) };)*
        };
    }

    session! {
        ARM_BELL "arm_bell"
        DISARM_BELL "disarm_bell"
        RING "ring"
        TAKE_LEADERSHIP "take_leadership"
    }
}
