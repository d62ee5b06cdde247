//! Names of strangers: whatever stands in the schemas that a database looks into, behind a transaction pooler and where psql applies what
//! is printed, what runs is PostgreSQL's own.

use postrider::store::{DatabaseUrl, Environment, Session, Store};

use crate::cli::doctor::{doctor, found, text};
use crate::database::manual_changes::LED_ASTRAY;
use crate::database::migration_by_hand::{print, psql, with_owner};
use crate::database::pgbouncer::{IGNORED, REFUSED, behind_pooler};
use crate::support::{CommandOutput, Database, Dispatcher, connect};

/// What wins in `public`, where PostgreSQL's own takes other types or any: each fails whoever calls it.
const TRAPS: &str = "
    create function public.spring() returns bool language plpgsql as $$ begin raise exception 'led astray'; end $$;
    create function public.times(bigint, interval) returns interval language sql as
        $$ select case when public.spring() then $2 end $$;
    create operator public.* (function = public.times, leftarg = bigint, rightarg = interval);
    create function public.equals(postrider.status, postrider.status) returns bool language sql as $$ select public.spring() $$;
    create operator public.= (function = public.equals, leftarg = postrider.status, rightarg = postrider.status);
    create function public.unnest(bigint[]) returns setof bigint language sql as
        $$ select 1::bigint from public.spring() $$;
    create function public.to_regclass(text) returns regclass language sql as
        $$ select case when public.spring() then 0::regclass end $$";

/// Notes the settings under which a table is written.
const NOTED: &str = "
    create table public.noted (at text, settings text);
    create function public.note() returns trigger language plpgsql as $$ begin
        insert into public.noted values (tg_op, pg_catalog.concat_ws(' ', pg_catalog.current_setting('search_path'),
            pg_catalog.current_setting('enable_seqscan'), pg_catalog.current_setting('lock_timeout'),
            pg_catalog.current_setting('statement_timeout'), pg_catalog.current_setting('plan_cache_mode')));
        return null;
    end $$;
    create trigger note after insert or update on postrider.delivery for each statement execute function public.note()";

#[tokio::test]
async fn a_database_whose_search_path_leads_astray_is_served_behind_a_pooler() {
    for settings in [REFUSED, IGNORED] {
        let Some((database, receiver, pooler)) = behind_pooler("search_paths::is served", settings).await
        else {
            return;
        };
        database.execute(&format!("{LED_ASTRAY};{TRAPS}")).await;
        look_into_first(&database, "astray, public, pg_catalog").await;
        let url = pooler.url(&database);
        let sprung = connect(&url).await.batch_execute("select unnest('{1}'::bigint[])").await.unwrap_err();
        receiver.answer_once(500, &[], b"");
        database.execute("update postrider.endpoint set retry_schedule = '{1ms}'").await;

        let dispatcher = Dispatcher::spawn(&url, &["--wake", "poll", "--poll-interval", "100ms"]);
        database.insert("order.created", "1").await;
        // As a superuser sees it, whose own path is not led astray.
        let settled = "select pg_catalog.count(*) operator(pg_catalog.=) 1 from postrider.outbox \
                       where status::text operator(pg_catalog.=) 'complete'";
        database.until(settled).await;
        let commands = [
            &["status"][..],
            &["delivery", "list"],
            &["endpoint", "list"],
            &["migrate", "--check"],
            &["publish", "a.b", "1"],
        ];
        for args in commands {
            let output = CommandOutput::run(&url, args).await;

            assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
        }

        assert_eq!(sprung.as_db_error().unwrap().message(), "led astray");
        assert!(!dispatcher.log().contains("led astray"), "{}", dispatcher.log());
        assert!(dispatcher.terminate().await.success());
    }
}

#[tokio::test]
async fn a_pooler_costs_a_dispatcher_none_of_its_settings() {
    let Some((database, receiver, pooler)) = behind_pooler("search_paths::settings", IGNORED).await else {
        return;
    };
    database.execute(NOTED).await;
    let _dispatcher =
        Dispatcher::spawn(&pooler.url(&database), &["--wake", "poll", "--poll-interval", "100ms"]);

    database.insert("order.created", "1").await;
    receiver.next().await;
    database.until_settled().await;

    let noted = database.rows("select distinct at, settings from public.noted order by at", &[]).await;
    let noted: Vec<(String, String)> = noted.iter().map(|row| (row.get(0), row.get(1))).collect();
    let ours = "pg_catalog, pg_temp off 100ms 25s force_generic_plan";
    assert_eq!(noted, ["INSERT", "UPDATE"].map(|at| (at.to_owned(), ours.to_owned())));
}

#[tokio::test]
async fn a_listening_session_behind_a_pooler_that_drops_its_settings_is_not_led_astray() {
    let keeps_sessions = format!("{IGNORED}\npool_mode = session\ndefault_pool_size = 40");
    let Some((database, receiver, pooler)) = behind_pooler("search_paths::listens", &keeps_sessions).await
    else {
        return;
    };
    database
        .execute(&format!(
            "{LED_ASTRAY};
             create function astray.pg_try_advisory_lock(bigint) returns bool language sql as $$ select astray.raise() $$;
             create function astray.pg_backend_pid() returns int language sql as $$ select astray.raise()::int $$;
             create function astray.current_setting(text, bool) returns text language sql as $$ select astray.raise()::text $$"
        ))
        .await;
    look_into_first(&database, "astray, pg_catalog").await;

    let dispatcher =
        Dispatcher::spawn(&pooler.url(&database), &["--wake", "notify", "--poll-interval", "1h"]);
    database.until_bell_is_armed().await;
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
    assert!(!dispatcher.log().contains("led astray"), "{}", dispatcher.log());
}

#[tokio::test]
async fn what_is_printed_binds_nothing_that_a_stranger_put_in_its_owners_path() {
    let (database, owner) = with_owner().await;
    let stranger = connect(&database.login(Some("pg_monitor")).await).await;
    database.execute("grant create on schema public to public").await;
    stranger
        .batch_execute(
            "create function public.evil(numeric, int) returns numeric language sql as 'select $1';
             create operator public.* (function = public.evil, leftarg = numeric, rightarg = integer);
             create function public.cardinality(text[]) returns int language sql as 'select 1';
             create function public.octet_length(text) returns int language sql immutable as 'select 1';
             create function public.unnest(text[]) returns setof text language sql as $$ select 'a' $$;
             create function public.same(text, text) returns bool language sql as 'select true';
             create operator public.!~ (function = public.same, leftarg = text, rightarg = text)",
        )
        .await
        .unwrap();
    look_into_first(&database, "public, pg_catalog").await;

    let applied = psql(&owner, &print(&[]).await).await;

    assert_eq!((applied.code, applied.stderr.as_str()), (Some(0), ""));
    assert_eq!(foreign(&database).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_objects_of_ours_depend_on_elsewhere_is_found() {
    let database = Database::new().await;
    assert_eq!(foreign(&database).await, Vec::<String>::new());
    database
        .execute(
            "create type public.mine as enum ('a');
             create function public.to_mine(text) returns public.mine language sql as $$ select 'a'::public.mine $$;
             create cast (text as public.mine) with function public.to_mine(text);
             create function public.is_odd(int) returns bool language sql as 'select true';
             create operator public.!! (function = public.is_odd, rightarg = int);
             create view postrider.casting as select topic::public.mine as topic from postrider.outbox;
             alter table postrider.endpoint add constraint odd check (operator(public.!!) max_in_flight);
             create function postrider.calling() returns bool language sql return public.is_odd(1);
             create table postrider.holding (what public.mine default public.to_mine('a'))",
        )
        .await;

    let found = foreign(&database).await;

    for (object, depends_on) in [
        ("view postrider.casting", "function public.to_mine(text)"),
        ("default value for column what of table postrider.holding", "function public.to_mine(text)"),
        ("constraint odd on table postrider.endpoint", "operator public.!!(NONE,integer)"),
        ("function postrider.calling()", "function public.is_odd(integer)"),
        ("column what of table postrider.holding", "type public.mine"),
    ] {
        let line = format!("{object} -> {depends_on}");
        assert!(found.contains(&line), "{line}: {found:#?}");
    }
}

#[tokio::test]
async fn what_the_schema_depends_on_elsewhere_fails_the_doctor_and_what_somebody_added_is_only_told() {
    let database = Database::new().await;
    database
        .execute(
            "create function public.note() returns trigger language plpgsql as $$ begin return null; end $$;
             create trigger note after insert on postrider.delivery for each statement execute function public.note();
             create function public.is_mine(text) returns bool language sql as 'select true';
             create policy mine on postrider.outbox using (public.is_mine(topic))",
        )
        .await;

    let added = found(&doctor(&database.url, &[]).await, "names");
    database
        .execute("create function postrider.calling() returns bool language sql return public.is_mine('')")
        .await;
    let bound = found(&doctor(&database.url, &[]).await, "names");

    assert_eq!(added["result"], "ok");
    for told in ["note on table postrider.delivery uses function public.note()", "public.is_mine(text)"] {
        assert!(text(&added, "message").contains(told), "{added}");
    }
    assert_eq!(bound["result"], "fail");
    assert!(
        text(&bound, "message").ends_with("function postrider.calling() uses function public.is_mine(text)"),
        "{bound}"
    );
}

/// What the schema depends on outside of it and of PostgreSQL, triggers and the like aside.
async fn foreign(database: &Database) -> Vec<String> {
    let url = DatabaseUrl::parse(&database.url, &Environment::default()).unwrap();
    let names = Store::new(&url, Session::Command, 1).unwrap().list_foreign_names().await.unwrap();
    let bound = names.iter().filter(|name| !name.is_added);
    bound.map(|name| format!("{} -> {}", name.object, name.depends_on)).collect()
}

/// The database's own search path, for sessions from now on.
async fn look_into_first(database: &Database, path: &str) {
    let name: String = database.value("select current_database()::text").await;
    database.execute(&format!("alter database {name} set search_path = {path}")).await;
}
