//! What strangers do in the database: hold rows, leave transactions open, put triggers on tables, insert what swells. It
//! costs those whose rows they touch, and nobody else.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Row};

use super::history::{Fate, Touched};
use super::kind::Stranger;
use super::plan::{ENDPOINTS, Planned, SWOLLEN, SWOLLEN_FROM, TOPICS};
use super::rows::NUMBER;
use super::stage::{Stage, connect};
use crate::support::Database;

/// Without an answer in this time there is no server.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many events that are too large come at once, each of so many letters; dispatchers send a mebibyte at most.
const SWOLLEN_EVENTS: u64 = 3;
const SWOLLEN_LETTERS: usize = 8_000_000;
/// Of the rows of an endpoint or topic one in so many is refused.
const REFUSED_ONE_IN: usize = 3;

/// Triggers of somebody else's, which refuse what is in their table: at first nothing. They are there all the time, because to
/// create one takes a lock that holds up everybody.
pub(super) async fn prepare_refusals(database: &Database) {
    database
        .execute(&format!(
            "create table public.refusal (endpoint_no int, topic text, remainder int not null);
             create function public.refuse_delivery() returns trigger
             language plpgsql security definer set search_path = pg_catalog as $$
             begin
                 if exists (select from public.refusal as r
                            where r.endpoint_no = new.endpoint_no and r.remainder = new.event_id % {REFUSED_ONE_IN}) then
                     raise exception 'no delivery for endpoint %', new.endpoint_no;
                 end if;
                 return new;
             end $$;
             create function public.refuse_event() returns trigger
             language plpgsql security definer set search_path = pg_catalog as $$
             begin
                 if exists (select from public.refusal as r
                            where r.topic = new.topic and r.remainder = new.id % {REFUSED_ONE_IN}) then
                     raise exception 'no event of topic %', new.topic using errcode = 'check_violation';
                 end if;
                 return new;
             end $$;
             create trigger refuse before update on postrider.delivery
                 for each row execute function public.refuse_delivery();
             create trigger refuse before update on postrider.outbox
                 for each row execute function public.refuse_event()"
        ))
        .await;
}

/// Lets one in, until it leaves.
pub(super) async fn let_in(stage: &Stage, planned: Planned, kind: Stranger) {
    let from = stage.history.now();
    let endpoint = planned.target % ENDPOINTS.len();
    let (id, _) = ENDPOINTS[endpoint];
    let topic = TOPICS[planned.target % TOPICS.len()];
    let remainder = planned.target / TOPICS.len() % REFUSED_ONE_IN;
    let touched = match kind {
        Stranger::HoldDeliveries => hold(stage, planned, &some_deliveries()).await.as_deref().map(events),
        Stranger::HoldEvents => hold(stage, planned, &some_events()).await.as_deref().map(events),
        Stranger::HoldEndpoint => {
            let endpoint_row = format!("select from postrider.endpoint where id = '{id}' for update");
            hold(stage, planned, &endpoint_row).await.map(|_| Touched::Endpoint(endpoint))
        }
        Stranger::HoldInstallation => {
            hold(stage, planned, "select from postrider.installation for update").await;
            None
        }
        Stranger::OpenPut => {
            let id = format!("stranger-{}", planned.target);
            let put = format!("select postrider.put_endpoint('{id}', 'https://example.com/', '{{}}')");
            hold(stage, planned, &put).await;
            None
        }
        Stranger::OpenPause => {
            let pause = format!("select postrider.pause_endpoint('{id}')");
            hold(stage, planned, &pause).await.map(|_| Touched::Endpoint(endpoint))
        }
        Stranger::RefuseDeliveries => {
            let no = format!("(select endpoint_no from postrider.endpoint where id = '{id}')");
            refuse(stage, planned, "endpoint_no", &no, remainder).await;
            Some(Touched::Endpoint(endpoint))
        }
        Stranger::RefuseEvents => {
            refuse(stage, planned, "topic", &format!("'{topic}'"), remainder).await;
            Some(Touched::Topic(topic))
        }
        Stranger::Swell => {
            swell(stage).await;
            None
        }
    };
    if let Some(touched) = touched {
        stage.history.touched(touched, from);
    }
    stage.history.injected(planned, 0, from);
}

/// A few of the latest deliveries, rather those that are not finished.
fn some_deliveries() -> String {
    format!(
        "select {NUMBER} from postrider.delivery as d join postrider.outbox as o on o.id = d.event_id
         where d.id > (select max(id) - 300 from postrider.delivery)
         order by d.completed_at is not null, random() limit 5 for update of d skip locked"
    )
}

fn some_events() -> String {
    format!(
        "select {NUMBER} from postrider.outbox as o where o.id > (select max(id) - 300 from postrider.outbox)
         order by o.completed_at is not null, random() limit 5 for update skip locked"
    )
}

fn events(rows: &[Row]) -> Touched {
    let numbers = rows.iter().map(|row| u64::try_from(row.get::<_, i64>(0)).unwrap());
    Touched::Events(numbers.collect::<BTreeSet<u64>>())
}

/// A transaction that begins with a query and is left open. None: there was no server, or it ended.
async fn hold(stage: &Stage, planned: Planned, query: &str) -> Option<Vec<Row>> {
    let client = connect(&stage.admin_url).await?;
    let rows = timeout(PATIENCE, begin(&client, query)).await.ok()?.ok()?;
    sleep(planned.lasts).await;
    // Without a server it is over, too.
    drop(timeout(PATIENCE, client.batch_execute("rollback")).await);
    Some(rows)
}

async fn begin(client: &Client, query: &str) -> Result<Vec<Row>, tokio_postgres::Error> {
    client.batch_execute("begin; set local lock_timeout = '2s'").await?;
    client.query(query, &[]).await
}

/// Rows of which a column has this value, and the id this remainder, are refused for a while. Then somebody has mended it, and
/// what was set aside is tried again.
async fn refuse(stage: &Stage, planned: Planned, column: &str, value: &str, remainder: usize) {
    let insert = format!("insert into public.refusal ({column}, remainder) values ({value}, {remainder})");
    stage.try_execute(&insert).await;
    sleep(planned.lasts).await;
    let delete = format!("delete from public.refusal where {column} = {value} and remainder = {remainder}");
    stage.execute(&delete).await;
    stage.execute("select postrider.retry_set_aside()").await;
}

/// Commits some events that are too large to be sent, and are stored in a hundredth of their size.
async fn swell(stage: &Stage) {
    let from = SWOLLEN_FROM + stage.swollen.fetch_add(SWOLLEN_EVENTS, Ordering::SeqCst);
    let numbers = from..from + SWOLLEN_EVENTS;
    let sql = format!(
        "insert into postrider.outbox (topic, payload, idempotency_key, destination)
         select '{SWOLLEN}', to_json(repeat('x', {SWOLLEN_LETTERS})), n::text, 'target'
         from generate_series({}::bigint, {}) as n",
        numbers.start,
        numbers.end - 1
    );
    let fate = if stage.try_execute(&sql).await { Fate::Committed } else { Fate::Indeterminate };
    stage.history.write(|book| book.fates.extend(numbers.map(|number| (number, fate))));
}
