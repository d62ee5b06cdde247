//! Rights after a migration: nobody but the owner and the three roles holds one on what it made, what an operator granted is kept,
//! and `doctor` lists who else holds some, with what takes it back.

use postrider::store::SCHEMA_VERSION;

use crate::cli::doctor::{doctor, found, text};
use crate::database::migration_by_hand::{later, parsed, print, psql, with_owner};
use crate::database::schema::texts;
use crate::support::{CommandOutput, Database};

/// Whatever anybody but the owner holds in the schema, $1 being the name that is looked for (or `public`), one line each.
const HELD: &str = "
    select format('%s on %s', lower(a.privilege_type), g.object)
    from (
        select 'schema' as object, n.nspacl as acl from pg_namespace as n where n.nspname = 'postrider'
        union all
        select c.relname, c.relacl from pg_class as c where c.relnamespace = 'postrider'::regnamespace
        union all
        select p.proname, coalesce(p.proacl, acldefault('f', p.proowner)) from pg_proc as p
        where p.pronamespace = 'postrider'::regnamespace
        union all
        select t.typname, t.typacl from pg_type as t where t.typnamespace = 'postrider'::regnamespace and t.typcategory <> 'A'
    ) as g
    cross join lateral aclexplode(g.acl) as a
    where a.grantee = any (select r.oid from pg_roles as r where r.rolname like '%_pg_monitor'
                           union all select 0 where g.object <> 'status')
    order by 1";

#[tokio::test]
async fn nothing_that_default_privileges_give_on_what_a_migration_makes_stays() {
    for by_hand in [false, true] {
        let (database, owner, role) = with_a_stranger().await;
        let owners = owners_name(&database).await;
        let mut defaults = Vec::new();
        for grantee in [&role, "public", "postrider_reader"] {
            for (privilege, kind) in [
                ("select", "tables"),
                ("usage", "sequences"),
                ("execute", "functions"),
                ("usage", "types"),
                ("all", "schemas"),
            ] {
                defaults.push(format!(
                    "alter default privileges for role {owners} grant {privilege} on {kind} to {grantee}"
                ));
            }
        }
        database.execute(&defaults.join(";")).await;
        let before =
            texts(&database, "select defaclacl::text from pg_default_acl order by defaclobjtype").await;

        migrate(&owner, by_hand, 0).await;

        assert_eq!(texts(&database, HELD).await, Vec::<String>::new(), "by hand: {by_hand}");
        for forbidden in ["endpoint", "old_secret", "installation"] {
            let may =
                format!("select has_table_privilege('postrider_reader', 'postrider.{forbidden}', 'select')");
            assert!(!database.is(&may).await, "{forbidden}, by hand: {by_hand}");
        }
        assert!(
            !database
                .is(
                    "select has_function_privilege('postrider_reader', 'postrider.cancel(bigint)', 'execute')"
                )
                .await
        );
        let after =
            texts(&database, "select defaclacl::text from pg_default_acl order by defaclobjtype").await;
        let sorted = |acl: &[String]| -> Vec<String> {
            acl.iter()
                .map(|acl| {
                    let mut items: Vec<&str> = acl.trim_matches(['{', '}']).split(',').collect();
                    items.sort_unstable();
                    items.join(",")
                })
                .collect()
        };
        assert_eq!(sorted(&after), sorted(&before), "by hand: {by_hand}");
        assert!(!doctor(&owner, &[]).await.stdout.contains("\"rights\""));
    }
}

#[tokio::test]
async fn what_an_operator_granted_survives_an_upgrade_that_makes_a_function_and_a_view_anew() {
    for by_hand in [false, true] {
        let (database, owner, role) = with_a_stranger().await;
        migrate(&owner, by_hand, 0).await;
        database
            .execute(&format!(
                "grant execute on all functions in schema postrider to {role};
                 grant execute on function postrider.retry_set_aside to {role} with grant option;
                 grant select on postrider.backlog, postrider.outbox to {role}"
            ))
            .await;
        let before = texts(&database, HELD).await;
        assert!(before.len() > 20, "{before:?}");

        if by_hand {
            let applied = psql(&owner, &later().print(SCHEMA_VERSION)).await;
            assert_eq!((applied.code, applied.stderr.as_str()), (Some(0), ""));
        } else {
            later().migrate(&parsed(&owner)).await.unwrap();
        }

        assert!(database.is("select postrider.retry_set_aside(up_to => 1) = 42").await);
        assert!(database.is("select more = 1 from postrider.backlog").await);
        assert_eq!(texts(&database, HELD).await, before, "by hand: {by_hand}");
        let may_grant = format!(
            "select bool_and(has_function_privilege('{role}', p.oid, 'execute with grant option')) from pg_proc as p
             where p.pronamespace = 'postrider'::regnamespace and p.proname = 'retry_set_aside'"
        );
        assert!(database.is(&may_grant).await, "by hand: {by_hand}");
    }
}

#[tokio::test]
async fn an_event_trigger_that_grants_is_taken_back_too() {
    let (database, owner, role) = with_a_stranger().await;
    database
        .execute(&format!(
            "create function public.share() returns event_trigger language plpgsql as $$
             declare made record; begin
                 for made in select * from pg_event_trigger_ddl_commands() where object_type in ('table', 'view') loop
                     execute format('grant select on %s to {role}', made.object_identity);
                 end loop;
             end $$;
             create event trigger share on ddl_command_end when tag in ('CREATE TABLE', 'CREATE VIEW')
                 execute function public.share()"
        ))
        .await;

    migrate(&owner, false, 0).await;

    assert_eq!(texts(&database, HELD).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_somebody_was_granted_since_is_listed_with_the_commands_that_take_it_back() {
    let (database, owner, role) = with_a_stranger().await;
    migrate(&owner, false, 0).await;
    database
        .execute(&format!(
            "grant create on schema postrider to {role};
             grant select (secret, url), insert on postrider.endpoint to {role} with grant option;
             grant usage on sequence postrider.outbox_id_seq to {role};
             grant execute on function postrider.cancel to public;
             grant usage on type postrider.status to {role};
             alter default privileges for role {} in schema postrider grant select on tables to {role}",
            owners_name(&database).await
        ))
        .await;

    for _ in 0..3 {
        let output = doctor(&owner, &[]).await;
        let Some(check) = output.json()["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["name"] == "rights")
            .cloned()
        else {
            break;
        };
        assert_eq!(check["result"], "warn");
        let (_, commands) = text(&check, "remedy").split_once(": ").unwrap();
        let (commands, _) = commands.split_once(" and ").unwrap_or((commands, ""));
        crate::support::connect(&owner).await.batch_execute(commands).await.unwrap();
    }

    assert_eq!(texts(&database, HELD).await, Vec::<String>::new());
    assert!(database.is("select not exists (select from pg_default_acl)").await);
    assert!(!doctor(&owner, &[]).await.stdout.contains("\"rights\""));
}

#[tokio::test]
async fn each_right_that_a_stranger_holds_is_named() {
    let (database, owner, role) = with_a_stranger().await;
    migrate(&owner, false, 0).await;
    for (grant, held) in [
        ("usage on schema postrider", "usage on schema postrider"),
        ("select (secret) on postrider.endpoint", "select (secret) on table postrider.endpoint"),
        ("delete on postrider.backlog", "delete on table postrider.backlog"),
        ("execute on function postrider.bell_key()", "execute on routine postrider.bell_key()"),
    ] {
        database.execute(&format!("grant {grant} to {role}")).await;

        let check = found(&doctor(&owner, &[]).await, "rights");

        assert!(text(&check, "message").contains(&format!("{held}, to {role}")), "{check}");
        database.execute(&format!("revoke {grant} from {role}")).await;
    }
}

/// An empty database, the URL of who may create a schema in it, and the name of somebody else.
async fn with_a_stranger() -> (Database, String, String) {
    let (database, owner) = with_owner().await;
    database.login(Some("pg_monitor")).await;
    let name: String = database.value("select current_database()::text").await;
    (database, owner, format!("{name}_pg_monitor"))
}

async fn owners_name(database: &Database) -> String {
    database.value("select current_database() || '_nobody'").await
}

/// From a version on, by either way.
async fn migrate(owner: &str, by_hand: bool, after: i32) {
    let output = if by_hand {
        psql(owner, &print(&["--after", &after.to_string()]).await).await
    } else {
        CommandOutput::run(owner, &["migrate"]).await
    };
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "by hand: {by_hand}");
    let checked = CommandOutput::run(owner, &["migrate", "--check"]).await;
    assert!(checked.stdout.contains(&format!("version {SCHEMA_VERSION}")), "{}", checked.stderr);
}
