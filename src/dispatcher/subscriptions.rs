//! This dispatcher's copy of the endpoints, and which of them receive a topic. It is good for one version of the endpoints: the
//! router compares it with the version in the snapshot that showed the events.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::model::endpoint::{Child, Endpoint, EndpointNo, template_of, value_of};
use crate::model::topic::TopicPattern;
use crate::store::EndpointSet;

/// Topics whose receivers are remembered.
const TOPICS_MAX: usize = 10_000;

/// The endpoints as of one version.
#[derive(Debug, Default)]
pub struct Subscriptions {
    version: i64,
    endpoints: Vec<Arc<Endpoint>>,
    by_id: HashMap<String, EndpointNo>,
    /// Endpoints that named exactly this topic, and endpoints that have patterns with wildcards, by index in `endpoints`. Of ten
    /// thousand endpoints with a topic each, one event looks at one.
    by_exact_topic: HashMap<String, Vec<usize>>,
    with_wildcards: Vec<usize>,
    by_topic: HashMap<String, Arc<[EndpointNo]>>,
    /// Templates, by id and by number. Of their endpoints, those are known that were read, and those that were made or found since:
    /// a new one does not make the version grow.
    templates: HashMap<String, Arc<Endpoint>>,
    template_ids: HashMap<EndpointNo, String>,
    /// Endpoints that are ordered; and whether there are any, templates included.
    ordered: HashSet<EndpointNo>,
    has_ordered: bool,
    /// Endpoints of templates that were asked for in this step, and cannot be made.
    refused: HashSet<String>,
}

impl Subscriptions {
    /// A copy of a set that was just read.
    pub fn new(set: EndpointSet) -> Self {
        let endpoints: Vec<Arc<Endpoint>> = set.endpoints.into_iter().map(Arc::new).collect();
        let (templates, others): (Vec<_>, Vec<_>) = endpoints.iter().partition(|e| e.template.is_some());
        let ordered: HashSet<EndpointNo> =
            endpoints.iter().filter(|e| e.order.is_some()).map(|e| e.no).collect();
        let by_id = others.into_iter().map(|e| (e.id.clone(), e.no)).collect();
        let template_ids = templates.iter().map(|e| (e.no, e.id.clone())).collect();
        let templates = templates.into_iter().map(|e| (e.id.clone(), Arc::clone(e))).collect();
        let mut subscriptions = Self {
            version: set.version,
            by_id,
            templates,
            template_ids,
            has_ordered: !ordered.is_empty(),
            ordered,
            endpoints: Vec::new(),
            ..Self::default()
        };
        subscriptions.endpoints = endpoints;
        for (index, endpoint) in subscriptions.endpoints.iter().enumerate() {
            for topic in endpoint.topics.iter().filter_map(TopicPattern::as_topic) {
                subscriptions.by_exact_topic.entry(topic).or_default().push(index);
            }
            if endpoint.topics.iter().any(|pattern| pattern.as_topic().is_none()) {
                subscriptions.with_wildcards.push(index);
            }
        }
        subscriptions
    }

    /// The version of the endpoints, or 0 if they were never read.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// All endpoints, in whatever state.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// The endpoints that receive events of this topic, each once. Paused and disabled ones too: their deliveries wait.
    pub fn receivers(&mut self, topic: &str) -> Arc<[EndpointNo]> {
        if let Some(found) = self.by_topic.get(topic) {
            return Arc::clone(found);
        }
        let subscribed = |e: &&Arc<Endpoint>| e.topics.iter().any(|pattern| pattern.matches(topic));
        let exact = self.by_exact_topic.get(topic).into_iter().flatten();
        let indexes: BTreeSet<usize> = self.with_wildcards.iter().chain(exact).copied().collect();
        let candidates = indexes.into_iter().filter_map(|index| self.endpoints.get(index));
        let found: Arc<[EndpointNo]> = candidates.filter(subscribed).map(|e| e.no).collect();
        if self.by_topic.len() >= TOPICS_MAX {
            self.by_topic.clear();
        }
        self.by_topic.insert(topic.to_owned(), Arc::clone(&found));
        found
    }

    /// The one endpoint that a producer named, if it exists. A template is none.
    pub fn destination(&self, id: &str) -> Option<EndpointNo> {
        self.by_id.get(id).copied()
    }

    /// Whether an endpoint is ordered: then events with a key are routed in order of their ids.
    pub fn has_ordered(&self) -> bool {
        self.has_ordered
    }

    /// Whether an endpoint is ordered.
    pub fn is_ordered(&self, no: EndpointNo) -> bool {
        self.ordered.contains(&no)
    }

    /// Whether there are templates, so that there may be endpoints that are not known here.
    pub fn has_templates(&self) -> bool {
        !self.templates.is_empty()
    }

    /// The template that has to make the endpoint of this id: it is not known here, may exist, and its value fits.
    pub fn maker(&self, id: &str) -> Option<EndpointNo> {
        if self.by_id.contains_key(id) || self.refused.contains(id) {
            return None;
        }
        let template = self.templates.get(template_of(id)?)?;
        template.template.as_ref()?.fill(value_of(id)?).ok().map(|_| template.no)
    }

    /// Takes over endpoints of templates. Returns those that were not known.
    pub fn add_children(&mut self, children: Vec<Child>) -> Vec<Arc<Endpoint>> {
        let mut added = Vec::with_capacity(children.len());
        for child in children {
            let template = self.template_ids.get(&child.template_no).and_then(|id| self.templates.get(id));
            if self.by_id.contains_key(&child.id) {
                continue;
            }
            if let Some(endpoint) = template.and_then(|template| template.child(child)).map(Arc::new) {
                self.by_id.insert(endpoint.id.clone(), endpoint.no);
                if endpoint.order.is_some() {
                    self.ordered.insert(endpoint.no);
                }
                self.endpoints.push(Arc::clone(&endpoint));
                added.push(endpoint);
            }
        }
        added
    }

    /// Events for these endpoints reach nobody, until [`Self::forget_refused`].
    pub fn refuse(&mut self, ids: impl Iterator<Item = String>) {
        self.refused.extend(ids);
    }

    /// Whether the endpoint can be made is looked at again.
    pub fn forget_refused(&mut self) {
        self.refused.clear();
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::model::endpoint::{
        Credentials, Destination, EndpointState, Format, Narrowing, WebhookDestination,
    };

    fn endpoint(no: i32, topics: &[&str]) -> Endpoint {
        Endpoint {
            no: EndpointNo::new(no),
            id: no.to_string(),
            destination: Ok(Destination::Webhook(WebhookDestination {
                url: Err("nobody calls it".to_owned()),
                headers: Ok(HeaderMap::new()),
                format: Format::Webhook,
                credentials: Credentials {
                    secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap(),
                    old_secrets: Vec::new(),
                    signing_key: Ok(None),
                    auth: Ok(None),
                    tls: Ok(None),
                },
                narrowing: Narrowing::default(),
            })),
            topics: topics.iter().map(|topic| topic.parse().unwrap()).collect(),
            max_in_flight: 1,
            rate_limit: None,
            timeout: None,
            retry_schedule: None,
            order: None,
            state: EndpointState::Enabled,
            template: None,
        }
    }

    #[test]
    fn whoever_names_a_topic_or_a_pattern_that_matches_receives_it_once() {
        let endpoints = vec![
            endpoint(1, &["a.b"]),
            endpoint(2, &["a.*"]),
            endpoint(3, &["a.b", "a.**", "a.b"]),
            endpoint(4, &["a.c", "c"]),
            endpoint(5, &[]),
        ];
        let mut subscriptions = Subscriptions::new(EndpointSet { version: 1, endpoints });
        let mut receivers =
            |topic| -> Vec<i32> { subscriptions.receivers(topic).iter().map(|no| no.get()).collect() };

        assert_eq!(receivers("a.b"), [1, 2, 3]);
        assert_eq!(receivers("a.c"), [2, 3, 4]);
        assert_eq!(receivers("c"), [4]);
        assert!(receivers("d").is_empty());
    }
}
