//! This dispatcher's copy of the endpoints, and which of them a topic goes to. Good for one version of the endpoints:
//! whoever routes compares it with the version in the snapshot that showed the events.

use std::collections::HashMap;
use std::sync::Arc;

use crate::endpoint::{Endpoint, EndpointNo};
use crate::store::EndpointSet;

/// Topics whose endpoints are remembered.
const TOPICS_MAX: usize = 10_000;

/// The endpoints as of one version.
#[derive(Debug, Default)]
pub struct Directory {
    version: i64,
    endpoints: Vec<Arc<Endpoint>>,
    by_id: HashMap<String, EndpointNo>,
    by_topic: HashMap<String, Arc<[EndpointNo]>>,
}

impl Directory {
    /// Takes over a freshly read set.
    pub fn new(set: EndpointSet) -> Self {
        let endpoints: Vec<Arc<Endpoint>> = set.endpoints.into_iter().map(Arc::new).collect();
        let by_id = endpoints.iter().map(|e| (e.id.clone(), e.no)).collect();
        Self { version: set.version, endpoints, by_id, by_topic: HashMap::new() }
    }

    /// The version it was read at; 0: never.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// All endpoints, in whatever state.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Who receives events of this topic, each once; paused and disabled endpoints too, their deliveries wait.
    pub fn receivers(&mut self, topic: &str) -> Arc<[EndpointNo]> {
        if let Some(found) = self.by_topic.get(topic) {
            return Arc::clone(found);
        }
        let subscribed = |e: &&Arc<Endpoint>| e.topics.iter().any(|pattern| pattern.matches(topic));
        let found: Arc<[EndpointNo]> = self.endpoints.iter().filter(subscribed).map(|e| e.no).collect();
        if self.by_topic.len() >= TOPICS_MAX {
            self.by_topic.clear();
        }
        self.by_topic.insert(topic.to_owned(), Arc::clone(&found));
        found
    }

    /// The one endpoint that a producer named, if it exists.
    pub fn destination(&self, id: &str) -> Option<EndpointNo> {
        self.by_id.get(id).copied()
    }
}
