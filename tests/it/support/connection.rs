//! Connections to a database: plain ones, and those that are made as ours are.

use postrider::store::{DatabaseUrl, Session};
use tokio_postgres::{Client, NoTls};

/// A connection to any database.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "ends with its client")]
    drop(tokio::spawn(connection));
    client
}

/// A connection as ours are made.
pub(crate) async fn open(url: &DatabaseUrl) -> Client {
    let (client, connection) = url.connect(Session::Command).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "ends with its client")]
    drop(tokio::spawn(connection));
    client
}

/// Makes a connection what ours are for such a session.
pub(crate) async fn set_up(client: &Client, session: Session) {
    for (name, value) in session.settings() {
        client.batch_execute(&format!("set {name} = '{value}'")).await.unwrap();
    }
}
