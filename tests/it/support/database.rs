//! A database per test, copied from a migrated template; NOTIFY channels ignore schemas, but not databases.

use std::future::Future;
use std::panic::Location;

use postrider::store::{DatabaseUrl, Environment, migrate};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_postgres::error::DbError;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row};

use super::connection::connect;
use super::test_server::{Made, create, superuser_url, url_of};
use super::{SECRET, as_role, login_clause};

/// A migrated database of its own.
pub(crate) struct Database {
    /// Its URL, as superuser.
    pub(crate) url: String,
    /// A connection to it.
    pub(crate) client: Client,
    /// It goes with its test; none: it was there before.
    made: Option<Made>,
}

impl Database {
    /// A fresh, migrated database.
    pub(crate) async fn new() -> Self {
        static TEMPLATE: OnceCell<Made> = OnceCell::const_new();
        let template = TEMPLATE
            .get_or_init(|| async {
                let made = create("template template0").await;
                let url = DatabaseUrl::parse(&url_of(&made.0), &Environment::default()).unwrap();
                migrate(&url).await.unwrap();
                made
            })
            .await;
        Self::open(create(&format!("template {}", template.0)).await).await
    }

    /// A fresh, migrated database whose letters are those of a language, as ICU knows them; none: this server has no ICU.
    pub(crate) async fn in_language(language: &str) -> Option<Self> {
        let has_icu = "select current_setting('server_version_num')::int >= 150000
                           and exists (select from pg_collation where collprovider = 'i')";
        let client = connect(superuser_url()).await;
        if !client.query_one(has_icu, &[]).await.unwrap().get::<_, bool>(0) {
            return None;
        }
        let made = create(&format!("template template0 locale_provider icu icu_locale '{language}'")).await;
        let database = Self::open(made).await;
        database.migrate().await;
        Some(database)
    }

    /// A fresh, migrated database of an encoding; none: this server has it not.
    pub(crate) async fn encoded(encoding: &str) -> Option<Self> {
        let known = format!("select pg_char_to_encoding('{encoding}') >= 0");
        if !connect(superuser_url()).await.query_one(&known, &[]).await.unwrap().get::<_, bool>(0) {
            return None;
        }
        let made =
            create(&format!("template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'")).await;
        let database = Self::open(made).await;
        database.migrate().await;
        Some(database)
    }

    /// A fresh database without the schema.
    pub(crate) async fn without_schema() -> Self {
        Self::open(create("template template0").await).await
    }

    /// Brings it to the schema, as an operator does.
    pub(crate) async fn migrate(&self) {
        migrate(&DatabaseUrl::parse(&self.url, &Environment::default()).unwrap()).await.unwrap();
    }

    /// A copy by `create database … template`, and the database itself, to which nobody may be connected else.
    pub(crate) async fn copied(self) -> (Self, Self) {
        let Self { url, client, made } = self;
        drop(client);
        let (_, name) = url.rsplit_once('/').unwrap();
        let copy = create(&format!("template {name}")).await;
        (Self { made, ..Self::at(&url).await }, Self::open(copy).await)
    }

    /// Drops it under whoever is connected, and makes it again under the same name, from a copy.
    pub(crate) async fn dropped_and_restored_from(self, copy: Self) -> Self {
        let name = |url: &str| url.rsplit_once('/').unwrap().1.to_owned();
        let from = name(&copy.url);
        let Self { url, client, made } = self;
        drop((client, copy.client));
        let server = connect(superuser_url()).await;
        server.batch_execute(&format!("drop database {} with (force)", name(&url))).await.unwrap();
        server.batch_execute(&format!("create database {} template {from}", name(&url))).await.unwrap();
        Self { made, ..Self::at(&url).await }
    }

    /// A database that there is.
    pub(crate) async fn at(url: &str) -> Self {
        Self { client: connect(url).await, url: url.to_owned(), made: None }
    }

    async fn open(made: Made) -> Self {
        let url = url_of(&made.0);
        Self { made: Some(made), ..Self::at(&url).await }
    }

    /// Its URL as a new login role, which is a member of another one or (none) of nothing.
    pub(crate) async fn login(&self, member_of: Option<&str>) -> String {
        let database: String = self.value("select current_database()::text").await;
        let role = format!("{database}_{}", member_of.unwrap_or("nobody"));
        let grant = member_of.map(|group| format!("grant {group} to {role}"));
        let login = login_clause(&self.url);
        self.execute(&format!("create role {role} {login}; {}", grant.unwrap_or_default())).await;
        as_role(&self.url, &role)
    }

    /// Another connection to it.
    pub(crate) async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    /// Runs statements without parameters.
    pub(crate) async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
    }

    /// The rows of a query.
    pub(crate) async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.client.query(sql, params).await.unwrap_or_else(|fault| panic!("{sql}: {fault:?}"))
    }

    /// The one value of a query.
    pub(crate) async fn value<T>(&self, sql: &str) -> T
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let row = self.client.query_one(sql, &[]).await.unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
        row.get(0)
    }

    /// How a statement is refused.
    pub(crate) async fn refusal(&self, sql: &str) -> DbError {
        let fault = self.client.batch_execute(sql).await.expect_err(sql);
        fault.as_db_error().unwrap().clone()
    }

    /// The rows of a query as JSON: an object for each, with its columns; times and the like as texts.
    pub(crate) async fn json_rows(&self, sql: &str) -> Vec<Value> {
        let rows = self.rows(&format!("with q as ({sql}) select to_json(q)::text from q"), &[]).await;
        rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
    }

    /// Checks the one row of a query: `assert_row("select status, attempts from …", json!({"status": "complete", "attempts": 1}))`.
    #[track_caller]
    pub(crate) fn assert_row<'a>(&'a self, sql: &'a str, expected: Value) -> impl Future<Output = ()> + 'a {
        self.assert_rows(sql, vec![expected])
    }

    /// Checks all rows of a query, in its order.
    #[track_caller]
    pub(crate) fn assert_rows<'a>(
        &'a self,
        sql: &'a str,
        expected: Vec<Value>,
    ) -> impl Future<Output = ()> + 'a {
        let caller = Location::caller();
        async move {
            let actual = self.json_rows(sql).await;
            let lines =
                |rows: &[Value]| rows.iter().map(Value::to_string).collect::<Vec<_>>().join("\n            ");
            assert!(
                actual == expected,
                "{caller}: {sql}\n  expected: {}\n  actual:   {}",
                lines(&expected),
                lines(&actual)
            );
        }
    }

    /// Whether a query's one value is true.
    pub(crate) async fn is(&self, sql: &str) -> bool {
        self.value(sql).await
    }

    /// Waits until a query's one value is true.
    pub(crate) async fn until(&self, sql: &str) {
        super::eventually(sql, || self.is(sql)).await;
    }

    /// Registers an endpoint as a SQL user does; `more` are further arguments, as `retry_schedule => '{1s}'`.
    pub(crate) async fn put_endpoint(&self, id: &str, url: &str, topics: &str, more: &str) {
        let comma = if more.is_empty() { "" } else { ", " };
        self.execute(&format!(
            "select postrider.put_endpoint('{id}', '{url}', '{{{topics}}}', secret => '{SECRET}'{comma}{more})"
        ))
        .await;
    }

    /// Inserts one event and returns its id.
    pub(crate) async fn insert(&self, topic: &str, payload: &str) -> i64 {
        let sql = "insert into postrider.outbox (topic, payload) values ($1, $2::text::json) returning id";
        self.client.query_one(sql, &[&topic, &payload]).await.unwrap().get(0)
    }

    /// Inserts events in one transaction, with payloads `{"number": 1}` to `{"number": count}`.
    pub(crate) async fn insert_many(&self, topic: &str, count: usize) {
        self.execute(&format!(
            "insert into postrider.outbox (topic, payload) \
             select '{topic}', json_build_object('number', n) from generate_series(1, {count}) as n"
        ))
        .await;
    }

    /// Events that were delivered to an endpoint (`complete`), or given up (`failed`), an hour ago, and of which no
    /// dispatcher knows. Their payloads are `{"number": 1}` to `{"number": count}`.
    pub(crate) async fn insert_settled(&self, endpoint: &str, topic: &str, status: &str, count: usize) {
        let (code, failed) = if status == "complete" { (200, 0) } else { (500, 1) };
        let sql = format!(
            "insert into postrider.outbox (topic, payload, status, deliveries, open_deliveries, failed, created_at, completed_at)
             overriding system value
             select '{topic}', json_build_object('number', n), '{status}', 1, 0, {failed}, now() - interval '1 h', now()
             from generate_series(1, {count}) as n;
             insert into postrider.delivery
                 (event_id, endpoint_no, status, attempts, last_status_code, last_error, completed_at, failed_at)
             select o.id, e.endpoint_no, '{status}', 1, {code}, case when {failed} = 1 then 'status {code}' end,
                    now() - interval '1 h', case when {failed} = 1 then now() - interval '1 h' end
             from postrider.outbox as o
             join postrider.endpoint as e on e.id = '{endpoint}'
             where not exists (select from postrider.delivery as d where d.event_id = o.id) and o.status = '{status}'
             order by o.id;
             insert into postrider.attempt (delivery_id, started_at, endpoint_no, duration_ms, attempt, status_code, outcome, error)
             select d.id, d.completed_at, d.endpoint_no, 12, 1, {code}, d.status, d.last_error
             from postrider.delivery as d
             where not exists (select from postrider.attempt as a where a.delivery_id = d.id)"
        );
        self.execute(&sql).await;
    }

    /// How many deliveries have a status.
    pub(crate) async fn count(&self, status: &str) -> usize {
        let count: i64 = self
            .value(&format!("select count(*) from postrider.delivery_status where status = '{status}'"))
            .await;
        usize::try_from(count).unwrap()
    }

    /// From now on the server refuses new connections to it, or not; those that stand stay.
    pub(crate) async fn admit_connections(&self, admitted: bool) {
        let name: String = self.value("select current_database()::text").await;
        // Nobody may lock himself out: from another database.
        connect(superuser_url())
            .await
            .batch_execute(&format!("alter database {name} allow_connections {admitted}"))
            .await
            .unwrap();
    }

    /// Ends every connection of dispatchers.
    pub(crate) async fn cut_dispatchers(&self) {
        self.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name like 'postrider%'",
        )
        .await;
    }

    /// Waits until a dispatcher sleeps with the bell armed: the next insert rings.
    pub(crate) async fn until_bell_is_armed(&self) {
        super::eventually("the bell is armed", || self.is_bell_locked("ExclusiveLock")).await;
    }

    /// A producer that did not ring is in flight from now on, until its connection is dropped: as long as it is, the
    /// bell cannot be armed, and the dispatcher that leads stays awake.
    pub(crate) async fn keep_the_leader_awake(&self) -> Client {
        let producer = self.connect().await;
        let take_bell = "begin; select pg_advisory_xact_lock_shared(postrider.bell_key())";
        // An armed bell is laid down on waking.
        let rung = super::eventually("the bell is laid down", || async {
            self.execute("select pg_notify('postrider', '')").await;
            self.is_bell_locked("ShareLock").await
        });
        let (taken, ()) = tokio::join!(producer.batch_execute(take_bell), rung);
        taken.unwrap();
        producer
    }

    async fn is_bell_locked(&self, mode: &str) -> bool {
        self.is(&format!(
            "select exists (select from pg_locks as l join pg_database as d on d.oid = l.database \
             where d.datname = current_database() and l.locktype = 'advisory' and l.mode = '{mode}' and l.granted \
               and ((l.classid::bigint << 32) | l.objid::bigint) = postrider.bell_key())"
        ))
        .await
    }

    /// Waits until every event is complete or failed.
    pub(crate) async fn until_settled(&self) {
        self.until(
            "select not exists (select from postrider.outbox where status in ('pending', 'in_progress'))",
        )
        .await;
    }

    /// Waits until every other event is complete or failed.
    pub(crate) async fn until_settled_but(&self, id: i64) {
        self.until(&format!(
            "select not exists (select from postrider.outbox where status in ('pending', 'in_progress') and id <> {id})"
        ))
        .await;
    }

    /// The counts of every event are what its deliveries say, and what is in progress is in the claim that it names.
    pub(crate) async fn assert_counts_agree(&self) {
        assert_eq!(self.disagreements().await, Vec::<String>::new());
    }

    /// Where they are not, in words.
    pub(crate) async fn disagreements(&self) -> Vec<String> {
        let wrong = self
            .rows(
                "select format('event %s is %s with %s deliveries, %s open, %s failed; its deliveries: %s',
                               o.id, o.status, o.deliveries, o.open_deliveries, o.failed, d.statuses)
                 from postrider.outbox as o
                 left join (select event_id, count(*) as deliveries,
                                   count(*) filter (where status in ('pending', 'in_progress')) as open_deliveries,
                                   count(*) filter (where status = 'failed') as failed,
                                   array_agg(status order by id) as statuses
                            from postrider.delivery group by event_id) as d on d.event_id = o.id
                 where (o.deliveries, o.open_deliveries, o.failed) is distinct from
                       (case when o.status <> 'pending' then coalesce(d.deliveries, 0) end,
                        case when o.status <> 'pending' then coalesce(d.open_deliveries, 0) end,
                        case when o.status <> 'pending' then coalesce(d.failed, 0) end)
                    or (o.status = 'pending' and d.deliveries > 0)
                 union all
                 select format('delivery %s names claim %s, which does not hold it', d.id, d.claim_id)
                 from postrider.delivery as d
                 where d.claim_id is not null
                   and not exists (select from postrider.claim as c where c.id = d.claim_id and d.id = any (c.delivery_ids))",
                &[],
            )
            .await;

        wrong.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until a backend of this database waits for a lock that another holds.
    pub(crate) async fn until_somebody_waits_for_a_lock(&self) {
        self.until(
            "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')",
        )
        .await;
    }

    /// Runs a statement while somebody else locks event 1 and then event 20, in the order in which events are settled.
    pub(crate) async fn run_beside_settling(
        &self,
        statement: &str,
    ) -> (Result<(), Error>, Result<(), Error>) {
        let (settler, other) = (self.connect().await, self.connect().await);
        let lock = |id: i64| format!("select from postrider.outbox where id = {id} for update");
        settler.batch_execute(&format!("begin; {}", lock(1))).await.unwrap();

        let settle = async {
            self.until_somebody_waits_for_a_lock().await;
            let settled = settler.batch_execute(&lock(20)).await;
            settler.batch_execute("commit").await.unwrap();
            settled
        };
        tokio::join!(other.batch_execute(statement), settle)
    }
}
