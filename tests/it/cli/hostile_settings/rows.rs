//! The table.

use super::Given::{Endpoint, File, Flags, Tokens, Url, Variable};
use super::Row;
use super::Said::{Refused, Taken, Warned};

/// C1 to C24.
pub(super) const ROWS: &[Row] = &[
    Row {
        number: 1,
        tried: &[],
        tested: &[
            "database::tls::verify_full_takes_the_server_that_the_certificate_is_for",
            "database::tls::verify_full_refuses_a_certificate_for_another_name",
        ],
        differs: "",
    },
    Row {
        number: 2,
        tried: &[
            (Url("postgres://me@db.example/x"), Warned("the connection to db.example may go unencrypted")),
            (Url("postgres://me@db.example/x?sslmode=prefer"), Warned("may go unencrypted")),
            (Url("postgres://me@db.example/x?sslmode=require"), Taken),
            (Url("postgres://me@127.0.0.1/x"), Taken),
        ],
        tested: &[],
        differs: "prefer stays the default, as everywhere: many a server in a private network has no TLS",
    },
    Row {
        number: 3,
        tried: &[(
            Url("postgres://me@db/x?sslmode=verify-full&sslrootcert=/nope"),
            Refused("database_url: sslrootcert: cannot read /nope: No such file or directory"),
        )],
        tested: &["database::tls::a_certificate_that_is_missing_is_said"],
        differs: "",
    },
    Row {
        number: 4,
        tried: &[(
            Url("postgres://me@db/x?tcp_user_timeout=10s"),
            Refused("tcp_user_timeout needs a whole number"),
        )],
        tested: &["database::connection_strings::every_option_reaches_the_driver_in_its_own_units"],
        differs: "",
    },
    Row {
        number: 5,
        tried: &[
            (Url("postgres://me@127.0.0.1/x?keepalives_count=3"), Taken),
            (
                Url("postgres://me@db/x?keepalive_count=3"),
                Refused("option \"keepalive_count\" is not supported, did you mean \"keepalives_count\"?"),
            ),
            (
                Url("postgres://me@db/x?krbsrvname=x"),
                Refused("option \"krbsrvname\" is not supported; known are host,"),
            ),
            (Url("postgres://me@db/x?service=shop"), Refused("service \"shop\" is in no service file")),
        ],
        tested: &[
            "database::connection_strings::each_host_has_the_password_that_the_password_file_has_for_it",
            "database::connection_strings::a_service_is_looked_for_in_the_users_file_and_then_in_the_systems",
        ],
        differs: "",
    },
    Row {
        number: 6,
        tried: &[
            (Url("postgres://me@127.0.0.1/x?target_session_attrs=primary"), Taken),
            (
                Url("postgres://me@127.0.0.1/x?target_session_attrs=standby"),
                Refused("target_session_attrs needs one of any, read-write, primary, read-only"),
            ),
        ],
        tested: &["database::failover::a_dispatcher_goes_on_at_the_new_primary_after_a_failover"],
        differs: "",
    },
    Row {
        number: 7,
        tried: &[(Url("postgres://u:hunter2@ss@h/db"), Refused("%40"))],
        tested: &["database::unusable_databases::a_password_with_an_at_sign_is_written_as_in_any_url"],
        differs: "",
    },
    Row {
        number: 8,
        tried: &[
            (Url("mysql://u:hunter2@h/db"), Refused("postgres://user@host/database")),
            (Url("not a dsn"), Refused("database_url: ")),
            (Url(""), Refused("postgres://user@host/database")),
            (Url("postgres://"), Taken),
        ],
        tested: &["cli::settings::a_wrong_database_url_is_refused_without_showing_its_password"],
        differs: "without a host it is this machine, as in libpq",
    },
    Row {
        number: 9,
        tried: &[
            (Url("postgres://u:hunter2@h:99999/db"), Refused("database_url: ")),
            (Url("postgres://u:hunter2@h:port/db"), Refused("database_url: ")),
        ],
        tested: &[],
        differs: "",
    },
    Row {
        number: 10,
        tried: &[
            (
                File("wake = \"poll\"\nleese = \"1m\"\n"),
                Refused("config: line 2 of FILE: unknown setting \"leese\", did you mean \"lease\"?"),
            ),
            (
                File("\n\npoll-intervall = \"1s\""),
                Refused(
                    "line 3 of FILE: unknown setting \"poll_intervall\", did you mean \"poll_interval\"?",
                ),
            ),
            (
                File("timeout = \"1s\""),
                Refused("line 1 of FILE: unknown setting \"timeout\"; known are database_url, "),
            ),
            (
                File("wake = \"poll\"\n[run]\nlease = \"1m\""),
                Refused("line 2 of FILE: unknown table \"run\"; settings belong to no table"),
            ),
            (
                File("wake = \"poll\"\nlease = 60"),
                Refused("lease: line 2 of FILE: needs a text in quotes, got a value of type integer"),
            ),
            (File("allow_http = \"yes\""), Refused("allow_http: line 1 of FILE: needs true or false")),
            (
                File("allow_cidr = \"10.0.0.0/8\""),
                Refused(
                    "allow_cidr: line 1 of FILE: needs a list of texts in quotes, got a value of type string",
                ),
            ),
            (
                File("lease = \"1m\"\nwake = \"poll\"\nlease = \"2m\""),
                Refused("config: line 3 of FILE: is not TOML: duplicate key lease"),
            ),
            (
                File("max-in-flight = 1\nmax_in_flight = 2"),
                Refused("config: line 2 of FILE: max_in_flight stands on line 1 too"),
            ),
            (File("lease = \"1m\"\npassword hunter2"), Refused("config: line 2 of FILE: is not TOML: ")),
            (
                File("listen_database_url = 'postgres://me:hunter2@h:port/x'"),
                Refused("listen_database_url: line 1 of FILE: "),
            ),
            (
                File("wake = \"notfy\""),
                Refused("wake: line 1 of FILE: needs notify, poll or sleep, got \"notfy\""),
            ),
            (File("\u{feff}wake = \"poll\"\r\n\tlease\t=\t\"1m\"\r\n"), Taken),
            (
                File("\u{feff}wake = \"poll\"\r\n\r\nleese = \"1m\"\r\n"),
                Refused("line 3 of FILE: unknown setting \"leese\""),
            ),
            (
                Variable("POSTRIDER_MAX_INFLIGHT", "9"),
                Warned(
                    "POSTRIDER_MAX_INFLIGHT in the environment is no setting, did you mean POSTRIDER_MAX_IN_FLIGHT?",
                ),
            ),
            (
                Variable("POSTRIDER_RATE", "hunter2"),
                Warned(
                    "POSTRIDER_RATE in the environment is no setting; postrider config show names them all",
                ),
            ),
            (Variable("POSTRIDER_TEST_ANYTHING", "1"), Taken),
            (Variable("POSTRIDER_SERVICE_HOST", "10.0.0.11"), Taken),
            (Variable("POSTRIDER_LEASE", "60"), Refused("lease: needs a duration with a unit, ")),
            (Flags(&["--wake", "notfy"]), Refused("wake: needs notify, poll or sleep, got \"notfy\"")),
        ],
        tested: &[
            "cli::hostile_settings::a_misspelt_flag_is_refused_with_the_nearest_one",
            "cli::settings::a_value_of_the_wrong_kind_in_the_file_is_refused",
        ],
        differs: "a BOM, CRLF and tabs are no mistakes; a variable is warned about, because others set them too",
    },
    Row {
        number: 11,
        tried: &[(
            Flags(&["--lease", "5s", "--request-timeout", "15s"]),
            Refused("lease: needs at least twice request_timeout (15s), got \"5s\""),
        )],
        tested: &["cli::settings::a_lease_shorter_than_two_attempts_is_refused"],
        differs: "",
    },
    Row {
        number: 12,
        tried: &[
            (
                Endpoint(&["--retry-schedule", ""]),
                Refused("retry_schedule: needs a duration with a unit, 1ms to 7days"),
            ),
            (
                Endpoint(&["--retry-schedule", "0s"]),
                Refused("retry_schedule: needs a duration with a unit, 1ms to 7days"),
            ),
            (
                Endpoint(&["--retry-schedule=-5s"]),
                Refused("retry_schedule: needs a duration with a unit, 1ms to 7days"),
            ),
            (
                Endpoint(&["--retry-schedule", "1000000000000000000s"]),
                Refused("retry_schedule: needs a duration with a unit, 1ms to 7days"),
            ),
        ],
        tested: &["cli::hostile_settings::a_schedule_of_too_many_delays_is_refused"],
        differs: "",
    },
    Row {
        number: 13,
        tried: &[
            (
                Flags(&["--poll-interval", "0s"]),
                Refused("poll_interval: needs a duration with a unit, 10ms to 1h"),
            ),
            (Flags(&["--max-in-flight", "0"]), Refused("max_in_flight: needs a whole number, 1 to 10000")),
            (Flags(&["--max-in-flight=-1"]), Refused("max_in_flight: needs a whole number, 1 to 10000")),
            (
                Flags(&["--max-in-flight", "4294967295"]),
                Refused("max_in_flight: needs a whole number, 1 to 10000"),
            ),
        ],
        tested: &["cli::settings::a_wrong_setting_is_refused_by_its_name"],
        differs: "",
    },
    Row {
        number: 14,
        tried: &[
            (
                Flags(&["--allow-cidr", "0.0.0.0/0"]),
                Warned("allow_cidr: 0.0.0.0/0 is wider than any private range"),
            ),
            (Flags(&["--allow-cidr", "::/0"]), Warned("allow_cidr: ::/0 is wider than any private range")),
            (Flags(&["--allow-cidr", "128.0.0.0/1"]), Warned("cloud metadata (169.254.169.254)")),
            (Flags(&["--allow-cidr", "10.0.0.0/8,fc00::/7"]), Taken),
            (Flags(&["--deny-cidr", "0.0.0.0/0"]), Taken),
            (
                Flags(&["--allow-cidr", "10.0.0.0/33"]),
                Refused("allow_cidr: needs an address and a prefix length, as 10.0.0.0/8"),
            ),
            (
                Flags(&["--allow-cidr", "127.0.0.1"]),
                Refused("allow_cidr: needs a prefix length too; 127.0.0.1/32 is this address alone"),
            ),
            (
                Flags(&["--deny-cidr", "::1"]),
                Refused("deny_cidr: needs a prefix length too; ::1/128 is this address alone"),
            ),
        ],
        tested: &[],
        differs: "",
    },
    Row {
        number: 15,
        tried: &[
            (Endpoint(&["--secret", ""]), Refused("secret: needs the prefix whsec_")),
            (
                Endpoint(&["--secret", "whsec_"]),
                Refused("secret: needs base64 of 24 to 64 bytes after whsec_, got 0 bytes"),
            ),
            (
                Endpoint(&["--secret", "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIy"]),
                Refused("after whsec_, got 21 bytes"),
            ),
            (
                Endpoint(&["--secret", "hwsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]),
                Refused("secret: needs the prefix whsec_"),
            ),
            (Endpoint(&["--secret", "whsec_hunter2!"]), Refused("secret: needs base64 after whsec_")),
            (Endpoint(&["--secret", "v1,68756e74657232"]), Refused("secret: needs the prefix whsec_")),
        ],
        tested: &["cli::endpoint_put::a_secret_that_is_none_is_refused_without_showing_it"],
        differs: "",
    },
    Row {
        number: 16,
        tried: &[(
            Flags(&["--encryption-key", "c2hvcnQ="]),
            Refused("encryption_key: needs base64 of 32 bytes"),
        )],
        tested: &[
            "security::encrypted_secrets::a_key_that_is_none_is_refused_and_shown_to_nobody",
            "security::encrypted_secrets::an_endpoint_that_cannot_be_read_waits_and_holds_up_no_other",
        ],
        differs: "",
    },
    Row {
        number: 17,
        tried: &[(
            Flags(&["--api-listen", "0.0.0.0:7678"]),
            Refused("api_listen: is not a loopback address: needs --api-token-file"),
        )],
        tested: &["api::access::a_public_address_is_refused_without_a_token_file"],
        differs: "",
    },
    Row {
        number: 18,
        tried: &[
            (
                Tokens("# ours\n\nhunter2"),
                Refused("api_token_file: line 3: needs 16 to 512 visible ASCII characters"),
            ),
            (
                Tokens("7Hk2hunter2 9fQxZw4Lp1"),
                Refused("api_token_file: line 1: needs 16 to 512 visible ASCII characters"),
            ),
            (Tokens("# none\n"), Refused("api_token_file: needs a token, one per line")),
            (Tokens("hunter2-changeme-now"), Refused("api_token_file: line 1: is a placeholder")),
            (Tokens("an-EXAMPLE-token-hunter2"), Refused("api_token_file: line 1: is a placeholder")),
            (Tokens("xxxxxxxxxxxxxxxxxxxxxxxx"), Refused("api_token_file: line 1: is a placeholder")),
        ],
        tested: &["cli::hostile_settings::no_page_shows_a_token_that_somebody_could_copy"],
        differs: "",
    },
    Row {
        number: 19,
        tried: &[],
        tested: &[
            "cli::hostile_settings::a_file_with_a_secret_that_everybody_may_read_is_warned_about",
            "database::connection_strings::a_key_that_others_may_read_is_refused",
            "database::connection_strings::a_password_file_that_others_may_read_is_passed_over_with_a_warning",
        ],
        differs: "",
    },
    Row {
        number: 20,
        tried: &[
            (
                Flags(&["--log", "inof"]),
                Refused(
                    "log: needs a level (error, warn, info, debug, trace) or a filter as postrider=debug: \"inof\" is no level",
                ),
            ),
            (Flags(&["--log", "info,postrider=deubg"]), Refused("log: needs a level")),
            (Flags(&["--log", "info,postrider=debug"]), Taken),
        ],
        tested: &[
            "dispatchers::logs::a_log_that_nobody_reads_any_more_stops_nothing",
            "cli::commands::nobody_reading_the_output_is_no_failure",
        ],
        differs: "the log goes to stderr alone: there is no file that could be unwritable",
    },
    Row {
        number: 21,
        tried: &[],
        tested: &[],
        differs: "dispatchers may differ, and do in every rolling update: each setting is a dispatcher's own (its limits, its \
                  addresses, its poll), but for the lease, which stands in its row and is honoured by the others; \
                  dispatcher_status shows host, version and wake_mode of each, and config show what one would have",
    },
    Row {
        number: 22,
        tried: &[],
        tested: &[
            "database::schema::check_refuses_an_empty_database_and_names_both_versions",
            "database::schema::a_newer_database_is_refused_by_every_command_that_needs_its_schema",
            "database::schema::a_dispatcher_that_may_not_migrate_refuses_an_older_database",
            "database::schema::a_migration_is_applied_by_one_of_the_migrators_that_meet",
        ],
        differs: "run migrates unless it is told not to, under a lock; migrations expand first, so that older dispatchers go on",
    },
    Row {
        number: 23,
        tried: &[],
        tested: &[
            "security::missing_grants::a_role_without_a_grant_is_told_which_grant_it_lacks",
            "database::unusable_databases::a_database_that_does_not_exist_is_named",
            "database::unusable_databases::a_role_that_does_not_exist_is_named",
            "database::unusable_databases::a_wrong_password_is_said_and_not_shown",
            "database::unusable_databases::a_migrated_database_that_is_read_only_is_said_to_be",
            "database::unusable_databases::a_server_that_is_no_postgresql_is_doubted",
        ],
        differs: "",
    },
    Row {
        number: 24,
        tried: &[],
        tested: &["dispatchers::clocks::a_dispatcher_whose_clock_is_not_the_databases_says_by_how_much"],
        differs: "",
    },
];
