//! Statements about endpoints. `registering` has those that put one or rotate its secret, `views` those that list them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;
use url::Url;

use super::row::Row;
use super::statements::{
    COMPACT_ENDPOINT_CHANGES, DELETE_ENDPOINT, DISABLE_ENDPOINT, FIND_ENDPOINT, FORGET_ENDPOINTS,
    LIST_SIMILAR_ENDPOINTS, LOAD_ENDPOINTS, PAUSE_ENDPOINT, RESUME_ENDPOINT,
};
use super::views::DeletedEndpoint;
use super::{Store, StoreError, Written, from_millis, headers, millis};
use crate::model::endpoint::{
    Child, Credentials, Destination, Endpoint, EndpointNo, EndpointState, EndpointTls, Format, FormatError,
    Narrowing, OldSecret, OnFailed, TemplateUrl, WebhookDestination, prepare_headers,
};
use crate::model::topic::TopicPattern;
use crate::model::unreadable::OpenError;
use crate::rules::encryption::{Field, Place, Vault};

/// All endpoints as of one version.
#[derive(Debug, Default)]
pub struct EndpointSet {
    /// The version of the set: it grows with every change.
    pub version: i64,
    /// All endpoints that are not deleted, in no order.
    pub endpoints: Vec<Endpoint>,
}

impl Store {
    /// `sql/statements/endpoints/load_endpoints.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_endpoints(&self) -> Result<EndpointSet, StoreError> {
        endpoint_set(&self.query(&LOAD_ENDPOINTS, &[]).await?, &self.vault)
    }

    /// `sql/statements/endpoints/find_endpoint.sql`: whether it exists.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_endpoint(&self, id: &str) -> Result<bool, StoreError> {
        self.query_one(&FIND_ENDPOINT, &[&id]).await?.get("is_known")
    }

    /// `sql/statements/endpoints/list_similar_endpoints.sql`: ids about as long as this one.
    ///
    /// # Errors
    /// [`StoreError`]: a producer may not read them.
    pub async fn list_similar_endpoints(
        &self,
        id: &str,
        endpoints_max: i64,
    ) -> Result<Vec<String>, StoreError> {
        let rows = self.query(&LIST_SIMILAR_ENDPOINTS, &[&id, &endpoints_max]).await?;
        rows.iter().map(|row| row.get("endpoint_id")).collect()
    }

    /// `sql/statements/endpoints/compact_endpoint_changes.sql`: how many; as many as `rows_max`: there may be more.
    ///
    /// # Errors
    /// [`StoreError`]: the next call goes on.
    pub async fn compact_endpoint_changes(&self, rows_max: i64) -> Result<i64, StoreError> {
        let row = self.query_one(&COMPACT_ENDPOINT_CHANGES, &[&rows_max]).await?;
        row.get("compacted")
    }

    /// `sql/statements/circuits/disable_endpoint.sql`: its id, if it was enabled, and has done nothing but fail for `failing_for`; if
    /// `failing_for` is `None`, in any case.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn disable_endpoint(
        &self,
        no: EndpointNo,
        reason: &str,
        failing_for: Option<Duration>,
    ) -> Result<Written<Option<String>>, StoreError> {
        let row = self.query_one(&DISABLE_ENDPOINT, &[&no.get(), &reason, &failing_for.map(millis)]).await?;
        if row.get("is_locked")? {
            return Ok(Written::Locked);
        }
        row.get("endpoint_id").map(Written::Done)
    }

    /// `sql/statements/endpoints/pause_endpoint.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id.
    pub async fn pause_endpoint(&self, id: &str, reason: Option<&str>) -> Result<(), StoreError> {
        self.execute(&PAUSE_ENDPOINT, &[&id, &reason]).await
    }

    /// `sql/statements/endpoints/resume_endpoint.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id.
    pub async fn resume_endpoint(&self, id: &str) -> Result<(), StoreError> {
        self.execute(&RESUME_ENDPOINT, &[&id]).await
    }

    /// `sql/statements/endpoints/delete_endpoint.sql`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with SQLSTATE P0002 for an unknown id.
    pub async fn delete_endpoint(&self, id: &str) -> Result<DeletedEndpoint, StoreError> {
        let row = self.query_one(&DELETE_ENDPOINT, &[&id]).await?;
        row.json("row")
    }

    /// `sql/statements/endpoints/forget_endpoints.sql`. Returns how many were forgotten.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_endpoints(&self, deleted: Duration) -> Result<i64, StoreError> {
        let row = self.query_one(&FORGET_ENDPOINTS, &[&millis(deleted)]).await?;
        row.get("forgotten")
    }
}

/// The answer of `sql/statements/endpoints/load_endpoints.sql`.
pub(super) fn endpoint_set(rows: &[Row], vault: &Vault) -> Result<EndpointSet, StoreError> {
    let first = rows.first().ok_or(StoreError::Emptied)?;
    let version = first.endpoint_version()?;
    let mut endpoints = Vec::with_capacity(rows.len());
    let mut children = Vec::new();
    for row in rows {
        let (no, template_no): (Option<i32>, Option<i32>) =
            (row.get("endpoint_no")?, row.get("template_no")?);
        match no {
            Some(_) if template_no.is_some() => children.push(child(row)?),
            Some(no) => endpoints.push(endpoint(EndpointNo::new(no), row, vault)?),
            None => {}
        }
    }
    let templates = endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.template.is_some());
    let templates: HashMap<EndpointNo, usize> = templates.map(|(at, endpoint)| (endpoint.no, at)).collect();
    for child in children {
        // Without its template nothing is sent to it.
        let template = templates.get(&child.template_no).and_then(|at| endpoints.get(*at));
        if let Some(endpoint) = template.and_then(|template| template.child(child)) {
            endpoints.push(endpoint);
        }
    }
    Ok(EndpointSet { version, endpoints })
}

/// A row of `sql/statements/endpoints/load_endpoints.sql` or `make_children.sql` that is an endpoint of a template.
pub(super) fn child(row: &Row) -> Result<Child, StoreError> {
    Ok(Child {
        no: EndpointNo::new(row.get("endpoint_no")?),
        id: row.get("id")?,
        template_no: EndpointNo::new(row.get("template_no")?),
        state: EndpointState::of_word(row.get("state")?),
    })
}

fn endpoint(no: EndpointNo, row: &Row, vault: &Vault) -> Result<Endpoint, StoreError> {
    let topics: Vec<&str> = row.get("topics")?;
    let id: String = row.get("id")?;
    let mut destination = match destination(&id, row, vault) {
        Ok(destination) => Ok(destination),
        Err(Unreadable::Sealed(fault)) => Err(fault),
        Err(Unreadable::Row(fault)) => return Err(fault),
    };
    // A CHECK refuses such values. A row that got round it must not keep all other endpoints from being read.
    let mut invalid = |what: &str, fault: &dyn std::fmt::Display| {
        destination = Err(OpenError::Invalid(format!("{what}: {fault}")));
    };
    let max_in_flight: i32 = row.get("max_in_flight")?;
    let rate_limit: Option<&str> = row.get("rate_limit")?;
    let schedule_ms: Option<Vec<i64>> = row.get("retry_schedule_ms")?;
    let on_failed: Option<&str> = row.get("on_failed")?;
    let state: &str = row.get("state")?;
    Ok(Endpoint {
        no,
        id,
        topics: parse_all(&topics, |fault| invalid("topics", fault)),
        max_in_flight: u32::try_from(max_in_flight).unwrap_or(1).max(1),
        rate_limit: rate_limit.map(str::parse).transpose().unwrap_or_else(|fault| {
            invalid("rate_limit", &fault);
            None
        }),
        timeout: row.duration_or_null("timeout_ms")?,
        retry_schedule: schedule_ms.map(|delays| delays.into_iter().map(from_millis).collect()),
        order: on_failed.map(|word| {
            word.parse().unwrap_or_else(|fault| {
                invalid("on_failed", &fault);
                OnFailed::Block
            })
        }),
        state: EndpointState::of_word(state),
        template: TemplateUrl::parse(row.get("url")?).ok().map(Arc::new),
        destination,
    })
}

/// Where deliveries go. All URLs are those of webhooks, as the CHECK of the table says.
fn destination(id: &str, row: &Row, vault: &Vault) -> Result<Destination, Unreadable> {
    let url: &str = row.get("url")?;
    let format: &str = row.get("format")?;
    let stored = headers(row.get("headers")?);
    Ok(Destination::Webhook(WebhookDestination {
        url: parse_url(url),
        headers: stored.and_then(|headers| prepare_headers(&headers)),
        format: format
            .parse::<Format>()
            .map_err(|fault: FormatError| OpenError::Invalid(format!("format: {fault}")))?,
        credentials: credentials(id, url, row, vault)?,
        narrowing: narrowing(row)?,
    }))
}

/// Where requests go. A template has no place of its own.
fn parse_url(text: &str) -> Result<Url, String> {
    if TemplateUrl::is_meant(text) {
        return Err("url is invalid: it is that of a template".to_owned());
    }
    text.parse().map_err(|fault| format!("url is invalid: {fault}"))
}

fn narrowing(row: &Row) -> Result<Narrowing, Unreadable> {
    let allow_http: Option<bool> = row.get("allow_http")?;
    let ranges: Option<Vec<&str>> = row.get("allow_cidr")?;
    let parse = |text: &str| {
        text.parse::<IpNet>().map_err(|fault| OpenError::Invalid(format!("allow_cidr: {fault}")))
    };
    let ranges =
        ranges.map(|texts| texts.into_iter().map(parse).collect::<Result<Vec<_>, _>>()).transpose()?;
    Ok(Narrowing { forbids_http: allow_http == Some(false), only_cidrs: ranges.map(Into::into) })
}

/// The texts that are topic patterns. Each of the others is told to `invalid`.
fn parse_all(texts: &[&str], mut invalid: impl FnMut(&dyn std::fmt::Display)) -> Vec<TopicPattern> {
    let parse = |text: &&str| text.parse().map_err(|fault| invalid(&fault)).ok();
    texts.iter().filter_map(parse).collect()
}

/// Why an endpoint cannot be read.
enum Unreadable {
    /// This dispatcher cannot use a value of it; the others of the table can be read.
    Sealed(OpenError),
    /// The answer of the database does not have the form that it should have.
    Row(StoreError),
}

impl From<StoreError> for Unreadable {
    fn from(fault: StoreError) -> Self {
        Self::Row(fault)
    }
}

impl From<OpenError> for Unreadable {
    fn from(fault: OpenError) -> Self {
        Self::Sealed(fault)
    }
}

fn credentials(endpoint_id: &str, url: &str, row: &Row, vault: &Vault) -> Result<Credentials, Unreadable> {
    let text = |name| row.get::<Option<&str>>(name);
    let place = |field| Place { endpoint_id, url, field };
    let open = |field: Field| {
        let stored = text(field.as_str())?;
        Ok::<_, Unreadable>(stored.map(|stored| vault.open(&place(field), stored)).transpose()?)
    };
    let secret = open(Field::Secret)?.unwrap_or_default();
    let client_certificate = open(Field::ClientCertificate)?;
    Ok(Credentials {
        secret: secret.parse().map_err(invalid)?,
        old_secrets: old_secrets(&place(Field::Secret), row, vault)?,
        signing_key: open(Field::SigningKey)?.map(|key| key.parse()).transpose(),
        auth: open(Field::Auth)?.map(|auth| auth.parse()).transpose(),
        tls: EndpointTls::parse(text("ca_certificates")?, client_certificate.as_deref())
            .map(|tls| tls.map(Arc::new)),
    })
}

fn old_secrets(place: &Place<'_>, row: &Row, vault: &Vault) -> Result<Vec<OldSecret>, Unreadable> {
    let secrets: Option<Vec<&str>> = row.get("old_secrets")?;
    let valid_ms: Option<Vec<i64>> = row.get("old_valid_ms")?;
    let now = Instant::now();
    let old = |(secret, ms): (&str, i64)| {
        let secret = vault.open(place, secret)?.parse().map_err(invalid)?;
        Ok(OldSecret { secret, valid_until: now + from_millis(ms) })
    };
    secrets.unwrap_or_default().into_iter().zip(valid_ms.unwrap_or_default()).map(old).collect()
}

/// A text that is no secret in spite of the CHECK: somebody moved a sealed one here, or got round the CHECK.
fn invalid(fault: impl std::fmt::Display) -> Unreadable {
    Unreadable::Sealed(OpenError::Invalid(format!("secret: {fault}")))
}
