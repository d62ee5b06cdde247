//! Integration tests: SQL in, HTTP out, status views. Real PostgreSQL, real dispatchers, real HTTP peers.
//!
//! A folder per subject; `tests/README.md` says how to run one test, one folder, or all of them.

#![cfg(test)]

mod support;

/// From INSERT to routed: wake-up, routing, sizes, cancel, replay, retention.
mod events {
    /// Tests that need the machine for themselves.
    mod alone {
        mod ringing;
    }
    mod bell;
    mod bell_model;
    mod cancel;
    mod hostile_rows;
    mod large_payloads;
    mod large_transactions;
    mod listen_connection;
    mod publish_function;
    mod reached_nobody;
    pub(crate) mod replay;
    mod retention;
    mod retention_obstacles;
    mod routing;
    mod topic_patterns;
    mod unparsable_payloads;
    mod wakeup;
}

/// From routed to settled: the request, its outcome, the next attempt.
mod deliveries {
    mod attempt_log;
    mod cloudevents;
    mod ended_connections;
    mod fan_out;
    mod heads;
    mod hostile_receivers;
    mod manual_retry;
    mod misbehaving_receivers;
    mod request;
    mod retries;
    mod set_aside;
    mod waits_for;
}

/// Order per key: skip, retry, replay, cancel, what keeps house, and what people see.
mod lanes {
    mod api;
    mod blocked_keys;
    mod commands;
    mod housekeeping;
    mod retried;
    mod skip;
    mod skip_key;
    mod through_dispatchers;
    mod visible;
}

/// The process: lease, leadership, limits, crash and shutdown, what it logs and measures.
mod dispatchers {
    mod clocks;
    mod crash;
    mod database_metrics;
    mod file_descriptors;
    mod five_together;
    mod last_seen;
    mod leadership;
    mod lease;
    mod limits;
    mod logs;
    mod lost_connections;
    mod metrics;
    mod scheduler;
    mod shutdown;
}

/// Ordered endpoints: deliveries of one key, one after the other.
mod ordering {
    mod by_hand;
    mod changes;
    mod failing;
    mod faults;
    mod judge;
    mod meaning;
    mod routing;
    mod scene;
    mod settings;
}

/// Settings, secrets, circuit breaker, health, deletion.
mod endpoints {
    mod circuit_breaker;
    mod circuit_probe;
    mod concurrent_changes;
    mod credentials;
    mod deletion;
    mod disabled;
    mod header_names;
    mod health;
    mod health_log;
    mod health_words;
    mod isolation;
    mod kept_settings;
    mod pace;
    mod put;
    mod secret_rotation;
    mod settings;
    mod templates;
    mod urls;
    mod versions;
}

/// Tables of the user's own: attached, heard, written back to.
mod tables {
    mod api;
    mod attached;
    mod attaching;
    mod backfill;
    mod backfill_trouble;
    mod broken;
    mod capture;
    mod capture_columns;
    mod capture_faults;
    mod capture_keys;
    mod capture_order;
    mod capture_partitions;
    mod capture_payloads;
    mod capture_silence;
    mod command;
    mod doctor;
    mod dumps;
    mod example;
    mod locks;
    mod refusals;
    mod rights;
    mod row_security;
    mod told;
    mod write_back;
    mod write_back_order;
    mod write_back_rights;
    mod write_back_together;
    mod write_back_trouble;
}

/// PostgreSQL: connections, outages, locks, other people's triggers, plans, migrations.
mod database {
    mod bent_settings;
    mod connection_strings;
    mod connections;
    mod constraints;
    mod copies;
    mod copies_of_clusters;
    mod disk_full;
    mod durability;
    pub(crate) mod emptied_tables;
    mod encodings;
    mod failover;
    mod faulty_network;
    mod foreign_owners;
    mod grants_after_migration;
    mod lagging_sequences;
    mod large_history;
    mod locked_rows;
    mod locked_rows_in_maintenance;
    mod lost_grants;
    pub(crate) mod manual_changes;
    pub(crate) mod migration_by_hand;
    mod migration_locks;
    mod old_snapshots;
    mod outage;
    pub(crate) mod pgbouncer;
    mod plans;
    mod publications;
    mod raising_triggers;
    mod raising_triggers_in_maintenance;
    mod read_only;
    mod refusals;
    mod restored_rows;
    mod rows_put_back;
    pub(crate) mod schema;
    mod schema_objects;
    mod silent_triggers;
    mod tls;
    mod uncommitted_calls;
    mod unusable_databases;
}

/// Who may do what, where requests may go, what is secret, what strangers write.
mod security {
    mod egress;
    mod egress_proxy;
    mod encrypted_secrets;
    mod hostile_texts;
    mod hostile_urls;
    mod missing_grants;
    mod moved_secrets;
    mod privileges;
    mod producers;
    pub(crate) mod properties;
    mod receiver_tls;
    mod roles;
    mod row_security;
    mod search_paths;
    mod signing_key;
}

/// Every command and setting, as people use them.
mod cli {
    mod commands;
    mod compose;
    mod config_show;
    mod delivery;
    mod dev;
    mod dev_named;
    pub(crate) mod doctor;
    mod doctor_strangers;
    mod doctor_work;
    mod endpoint;
    mod endpoint_put;
    mod endpoint_test;
    mod event;
    mod hostile_settings;
    mod receive;
    mod replay;
    mod settings;
    mod terminal;
}

/// The admin API, as a service uses it.
mod api {
    mod access;
    mod dashboard;
    mod deliveries;
    mod endpoints;
    mod events;
    mod openapi;

    /// Tests that need the machine for themselves: `scripts/test` runs them after all others.
    mod alone {
        mod connections;
    }
}

/// Everything at once.
mod chaos {
    mod concurrent_operations;
    mod ordered_runs;
    mod receiver_runs;
    mod seeded_runs;
    mod table_runs;
}

/// The project itself: its public contract, its pages, its SQL.
mod project {
    mod bounds;
    mod contract;
    mod layers;
    mod metrics_named;
    mod pages;
    pub(crate) mod promises_named;
    mod reference_pages;
    mod sql;
}
