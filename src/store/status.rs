//! Reads of the public views: the same rows that SQL users see.

use super::statements::{
    COUNT_ENDPOINTS, LIST_DELIVERIES, LIST_ENDPOINTS, READ_BACKLOG, READ_DELIVERY, READ_DISPATCHERS,
    READ_EVENT, READ_EVENT_STATUS,
};
use super::views::{
    BacklogRow, DeliveryDetail, DeliveryPage, DispatcherRow, EndpointCounts, EndpointRow, EventRow, Status,
};
use super::{Store, StoreError};
use crate::model::delivery::DeliveryId;
use crate::model::event::EventId;

/// The deliveries that are wanted. A field that is `None` does not matter.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the columns of postrider.delivery_status")]
pub struct DeliveryFilter {
    pub endpoint_id: Option<String>,
    pub status: Option<Status>,
    pub event_id: Option<i64>,
    pub topic: Option<String>,
    /// Only deliveries with a lower id: the next page.
    pub before: Option<i64>,
}

/// Which endpoints are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed<'a> {
    /// Those that somebody put; of a template's endpoints there are only the counts.
    WithoutChildren,
    /// The endpoints of this template.
    ChildrenOf(&'a str),
    /// All.
    All,
}

impl<'a> Listed<'a> {
    /// Those of this template, or else all or not.
    pub const fn new(template: Option<&'a str>, all: bool) -> Self {
        match template {
            Some(template) => Self::ChildrenOf(template),
            None if all => Self::All,
            None => Self::WithoutChildren,
        }
    }
}

/// Rows that one page of deliveries looks at, at most.
const SCAN_MAX: i64 = 10_000;
/// The same where each has to be looked up in the outbox.
const TOPIC_SCAN_MAX: i64 = 1_000;

impl Store {
    /// `sql/statements/statistics/read_backlog.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_backlog(&self) -> Result<BacklogRow, StoreError> {
        let row = self.query_one(&READ_BACKLOG, &[]).await?;
        row.json("row")
    }

    /// `sql/statements/dispatchers/read_dispatchers.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_dispatchers(&self) -> Result<Vec<DispatcherRow>, StoreError> {
        let rows = self.query(&READ_DISPATCHERS, &[]).await?;
        rows.iter().map(|row| row.json("row")).collect()
    }

    /// `sql/statements/endpoints/list_endpoints.sql`: up to `rows_max` of these endpoints with a higher id than `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_endpoints(
        &self,
        listed: Listed<'_>,
        after: Option<&str>,
        rows_max: i64,
    ) -> Result<Vec<EndpointRow>, StoreError> {
        let (template, all) = match listed {
            Listed::WithoutChildren => (None, false),
            Listed::ChildrenOf(template) => (Some(template), true),
            Listed::All => (None, true),
        };
        let params: super::Params<'_> = &[&None::<&str>, &after, &rows_max, &false, &template, &all];
        let rows = self.query(&LIST_ENDPOINTS, params).await?;
        rows.iter().map(|row| row.json("row")).collect()
    }

    /// `sql/statements/endpoints/list_endpoints.sql`: up to `rows_max` of all endpoints, those that somebody has to look at
    /// first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_endpoints_by_trouble(&self, rows_max: i64) -> Result<Vec<EndpointRow>, StoreError> {
        let none = None::<&str>;
        let rows = self.query(&LIST_ENDPOINTS, &[&none, &none, &rows_max, &true, &none, &true]).await?;
        rows.iter().map(|row| row.json("row")).collect()
    }

    /// `sql/statements/endpoints/count_endpoints.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_endpoints(&self) -> Result<EndpointCounts, StoreError> {
        let row = self.query_one(&COUNT_ENDPOINTS, &[]).await?;
        row.json("row")
    }

    /// `sql/statements/endpoints/list_endpoints.sql`: one endpoint, if it exists.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_endpoint(&self, id: &str) -> Result<Option<EndpointRow>, StoreError> {
        let none = None::<&str>;
        let row = self.query_opt(&LIST_ENDPOINTS, &[&id, &none, &1_i64, &false, &none, &true]).await?;
        row.map(|row| row.json("row")).transpose()
    }

    /// `sql/statements/deliveries/list_deliveries.sql`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_deliveries(
        &self,
        filter: &DeliveryFilter,
        rows_max: i64,
    ) -> Result<DeliveryPage, StoreError> {
        let before = filter.before.unwrap_or(i64::MAX);
        let status = filter.status.map(Status::as_str);
        let scan_max = if filter.topic.is_some() { TOPIC_SCAN_MAX } else { SCAN_MAX };
        let row = self
            .query_one(
                &LIST_DELIVERIES,
                &[
                    &before,
                    &filter.endpoint_id,
                    &status,
                    &filter.event_id,
                    &filter.topic,
                    &rows_max,
                    &scan_max,
                ],
            )
            .await?;
        Ok(DeliveryPage {
            deliveries: row.json("deliveries")?,
            next_before: row.get("next_before")?,
            has_endpoint: row.get("has_endpoint")?,
            has_event: row.get("has_event")?,
        })
    }

    /// `sql/statements/deliveries/read_delivery.sql`. `None` if there is no such delivery.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
        let row = self.query_opt(&READ_DELIVERY, &[&id.get()]).await?;
        row.map(|row| row.json("row")).transpose()
    }

    /// `sql/statements/events/read_event.sql`. `None` if there is no such event.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_event(&self, id: EventId) -> Result<Option<EventRow>, StoreError> {
        let row = self.query_opt(&READ_EVENT, &[&id.get()]).await?;
        row.map(|row| row.json("row")).transpose()
    }

    /// `sql/statements/events/read_event_status.sql`. `None` if there is no such event.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_event_status(&self, id: EventId) -> Result<Option<Status>, StoreError> {
        let row = self.query_opt(&READ_EVENT_STATUS, &[&id.get()]).await?;
        row.map(|row| row.word("status")).transpose()
    }
}
