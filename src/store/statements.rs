//! The statements: each is a file under `sql/statements/`, in a folder by subject, compiled in.

/// One statement.
#[derive(Debug)]
pub struct Statement {
    /// Its file's name without `.sql`.
    pub name: &'static str,
    /// Its text, header included.
    pub sql: &'static str,
}

macro_rules! statements {
    ($($subject:literal { $($constant:ident $file:literal)* })*) => {
        $($(pub(super) const $constant: Statement = Statement {
            name: $file,
            sql: include_str!(concat!("../../sql/statements/", $subject, "/", $file, ".sql")),
        };)*)*
        /// Every statement, for the test that prepares them all.
        pub const ALL: &[Statement] = &[$($($constant),*),*];
    };
}

statements! {
    "bell" {
        LIST_BELL_HOLDERS "list_bell_holders"
    }
    "circuits" {
        CLOSE_CIRCUIT "close_circuit"
        DISABLE_ENDPOINT "disable_endpoint"
        HASTEN_PROBE "hasten_probe"
        NOTE_FAILURES "note_failures"
        TAKE_PROBES "take_probes"
    }
    "database" {
        FIND_HISTORY "find_history"
        FIND_TABLES "find_tables"
        LIST_LAGGING_SEQUENCES "list_lagging_sequences"
        LIST_LOCK_HOLDERS "list_lock_holders"
        LIST_OBJECTS "list_objects"
        LIST_OLD_TRANSACTIONS "list_old_transactions"
        LIST_REFUSING_PUBLICATIONS "list_refusing_publications"
        LIST_SHARING_DATABASES "list_sharing_databases"
        LIST_SILENT_TRIGGERS "list_silent_triggers"
        LIST_TABLES "list_tables"
        MEND_SEQUENCES "mend_sequences"
        READ_SERVER "read_server"
        READ_TIME "read_time"
    }
    "deliveries" {
        CLAIM_DELIVERIES "claim_deliveries"
        FIND_CLAIMABLE "find_claimable"
        FIND_DUE "find_due"
        FIND_UNWANTED "find_unwanted"
        GIVE_UP_DELIVERIES "give_up_deliveries"
        LIST_DELIVERIES "list_deliveries"
        READ_DELIVERY "read_delivery"
        RELEASE_DELIVERIES "release_deliveries"
        REPLAY "replay"
        RETRY "retry"
        RETRY_FAILED "retry_failed"
        SETTLE_DELIVERIES "settle_deliveries"
        SKIP "skip"
        SKIP_KEY "skip_key"
    }
    "dev" {
        COUNT_CONTENTS "count_contents"
        DELETE_SAMPLES "delete_samples"
        REMOVE_DEAD_DISPATCHERS "remove_dead_dispatchers"
    }
    "dispatchers" {
        COUNT_HOSTS "count_hosts"
        READ_DISPATCHERS "read_dispatchers"
        REGISTER_DISPATCHER "register_dispatcher"
        REMOVE_DISPATCHERS "remove_dispatchers"
        RENEW_LEASE "renew_lease"
        SEND_NOTIFY_PROBE "send_notify_probe"
    }
    "endpoints" {
        DELETE_ENDPOINT "delete_endpoint"
        COMPACT_ENDPOINT_CHANGES "compact_endpoint_changes"
        FIND_ENDPOINT "find_endpoint"
        FORGET_CHILDREN "forget_children"
        FORGET_ENDPOINTS "forget_endpoints"
        COUNT_ENDPOINTS "count_endpoints"
        LIST_ENDPOINTS "list_endpoints"
        LIST_SIMILAR_ENDPOINTS "list_similar_endpoints"
        LOAD_CHILDREN "load_children"
        LOAD_ENDPOINTS "load_endpoints"
        LOCK_ENDPOINT "lock_endpoint"
        MAKE_CHILDREN "make_children"
        PAUSE_ENDPOINT "pause_endpoint"
        PUT_ENDPOINT "put_endpoint"
        RESUME_ENDPOINT "resume_endpoint"
        REVIVE_CHILDREN "revive_children"
    }
    "events" {
        CANCEL "cancel"
        CLAIM_EVENTS "claim_events"
        CLAIM_KEYED_EVENTS "claim_keyed_events"
        FIND_EVENT "find_event"
        FIND_KEYED "find_keyed"
        FIND_UNROUTED "find_unrouted"
        LIST_UNROUTED "list_unrouted"
        LOAD_EVENTS "load_events"
        NOTE_REACHED_NOBODY "note_reached_nobody"
        NOTE_RESTORE "note_restore"
        PUBLISH "publish"
        READ_EVENT "read_event"
        READ_EVENT_STATUS "read_event_status"
        READ_WATERMARK "read_watermark"
        READ_RESTORED "read_restored"
        RESTAMP_EVENTS "restamp_events"
        RESTORE_EVENTS "restore_events"
        ROUTE_EVENTS "route_events"
        SAVE_WATERMARK "save_watermark"
    }
    "installation" {
        ADOPT "adopt"
        EXPECT_MOVE "expect_move"
        READ_INSTALLATION "read_installation"
        REQUIRE_HOME "require_home"
    }
    "lanes" {
        OPEN_LANES "open_lanes"
        SWEEP_LANES "sweep_lanes"
    }
    "leftovers" {
        FIND_DEAD_CLAIM "find_dead_claim"
        FIND_ORPHANED_CLAIMS "find_orphaned_claims"
        RESCUE_CLAIMS "rescue_claims"
    }
    "refused" {
        FIND_REFUSED_DELETIONS "find_refused_deletions"
        FORGET_REFUSED "forget_refused"
        HASTEN_REFUSED "hasten_refused"
        LIST_REFUSED_DUE "list_refused_due"
        LIST_REFUSED_EVENTS "list_refused_events"
        SET_ASIDE "set_aside"
    }
    "retention" {
        DELETE_FINISHED "delete_finished"
    }
    "rights" {
        LIST_FOREIGN_NAMES "list_foreign_names"
        LIST_FOREIGN_RIGHTS "list_foreign_rights"
        LIST_HIDDEN_TABLES "list_hidden_tables"
        LIST_LACKING_GRANTS "list_lacking_grants"
        LIST_MISSING_GRANTS "list_missing_grants"
        LIST_STRANGE_OWNERS "list_strange_owners"
        READ_OUTBOX_SECURITY "read_outbox_security"
        READ_OWNER "read_owner"
    }
    "secrets" {
        FORGET_SECRETS "forget_secrets"
        LIST_UNSEALED "list_unsealed"
        READ_SECRETS "read_secrets"
        ROTATE_SECRET "rotate_secret"
        SEAL_SECRETS "seal_secrets"
    }
    "statistics" {
        COMPACT_REACHED_NOBODY "compact_reached_nobody"
        COMPACT_STATS "compact_stats"
        LIST_BLOCKED_ENDPOINTS "list_blocked_endpoints"
        LIST_ENDPOINTS_WITH_STATS "list_endpoints_with_stats"
        MEASURE_BACKLOG "measure_backlog"
        MEASURE_ENDPOINTS "measure_endpoints"
        MEASURE_SERVER "measure_server"
        MEASURE_TABLES "measure_tables"
        READ_BACKLOG "read_backlog"
        READ_LATENESS "read_lateness"
        AGGREGATE_STATS "aggregate_stats"
    }
    "tables" {
        LIST_BACKFILLS "list_backfills"
        STEP_BACKFILL "step_backfill"
        ADD_UP_SKIPPED_ROWS "add_up_skipped_rows"
        ATTACH_TABLE "attach_table"
        COUNT_ROWS_TO_SEND "count_rows_to_send"
        DESCRIBE_ATTACHMENT "describe_attachment"
        DETACH_TABLE "detach_table"
        FORGET_DROPPED_TABLES "forget_dropped_tables"
        LIST_ATTACHED_TABLES "list_attached_tables"
        LIST_BROKEN_TABLES "list_broken_tables"
        LIST_LATE_ROWS "list_late_rows"
        LIST_SIMILAR_TABLES "list_similar_tables"
        LIST_UNHEARD_CHANGES "list_unheard_changes"
        MEASURE_ATTACHED_TABLES "measure_attached_tables"
        PAUSE_TABLE "pause_table"
        RESOLVE_TABLE "resolve_table"
        RESUME_TABLE "resume_table"
    }
    "write_back" {
        CLEAR_TROUBLE "clear_trouble"
        DROP_DETACHED_ROWS "drop_detached_rows"
        FIND_DUE_ROWS "find_due_rows"
        HASTEN_ROWS "hasten_rows"
        MEASURE_WRITE_BACK "measure_write_back"
        NOTE_TROUBLE "note_trouble"
        SET_ASIDE_ROW "set_aside_row"
        WRITE_BACK "write_back"
    }
}

/// Statements of the listening connection, which is not in the pool (see `listener.rs`).
pub mod session {
    use super::Statement;

    macro_rules! session {
        ($($constant:ident $file:literal)*) => {
            $(#[doc = concat!("`sql/statements/bell/", $file, ".sql`")]
            pub const $constant: Statement =
                Statement { name: $file, sql: include_str!(concat!("../../sql/statements/bell/", $file, ".sql")) };)*
        };
    }

    session! {
        ARM_BELL "arm_bell"
        DISARM_BELL "disarm_bell"
        RING "ring"
        TAKE_LEADERSHIP "take_leadership"
    }
}
