//! Asking every node for its services.

use std::collections::BTreeMap;
use std::time::Duration;

use macula::wire::ErrorCode;
use macula::{CallOptions, Client, NodeReply};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::cli::duration::as_micros;
use crate::cli::exit::{Exit, Failed};
use crate::cli::members::short;
use crate::cli::output::{Output, escaped};

/// What one node answers.
#[derive(Debug, Deserialize)]
struct Answer {
    node: String,
    agent: String,
    services: Vec<Found>,
    more: u64,
}

/// An instance of a service, as its node tells of it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Found {
    /// The node that told of it.
    #[serde(default)]
    pub(crate) node: String,
    #[serde(default)]
    pub(crate) agent: String,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) version: String,
    /// The node or client that runs it.
    pub(crate) provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoints: Option<Vec<Endpoint>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) more_endpoints: Option<u64>,
    /// How long the answer took.
    #[serde(default)]
    pub(crate) latency_us: u64,
}

impl Found {
    /// How many endpoints it has.
    pub(crate) fn count(&self) -> u64 {
        let told = self.endpoints.as_ref().map_or(0, Vec::len);
        let told = u64::try_from(told).unwrap_or(u64::MAX);
        told.saturating_add(self.more_endpoints.unwrap_or(0))
    }
}

/// A registration of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Endpoint {
    pub(crate) procedure: String,
    #[serde(rename = "match")]
    pub(crate) matching: String,
    pub(crate) invoke: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) concurrency: Option<u64>,
    pub(crate) zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_flight: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) calls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) errors: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mean_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<u64>,
}

/// What all answered together.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// By name and instance.
    pub(crate) services: Vec<Found>,
    /// Of how many more there was no room in the answers.
    more: u64,
    /// Who did not answer, and why.
    failed: Vec<(String, String)>,
}

impl Gathered {
    /// Notes what is missing; how a command ends that shows the rest.
    pub(crate) fn exit(&self, output: Output) -> Exit {
        for (node, why) in &self.failed {
            output.note(&format!("{} did not answer: {why}", short(node)));
        }
        if self.more > 0 {
            let detail = "more services than an answer has room for: ask for them by name";
            output.note(&format!("{} {detail}", self.more));
        }
        if self.failed.is_empty() && self.more == 0 {
            Exit::Ok
        } else {
            Exit::Partial
        }
    }

    fn take(&mut self, answer: Answer, latency_us: u64) {
        self.more = self.more.saturating_add(answer.more);
        for mut found in answer.services {
            found.node.clone_from(&answer.node);
            found.agent.clone_from(&answer.agent);
            found.latency_us = latency_us;
            self.services.push(found);
        }
    }
}

/// Asks all that serve `procedure`.
pub(crate) async fn gather(
    client: &Client,
    procedure: &str,
    deadline: Duration,
) -> Result<Gathered, Failed> {
    let begun = Instant::now();
    let options = CallOptions::default().deadline(deadline);
    let mut replies = client.call_all(procedure, "", options, 0).await?;
    let mut gathered = Gathered::default();
    loop {
        let NodeReply { node, result, .. } = match replies.next().await {
            Ok(Some(reply)) => reply,
            Ok(None) => break,
            Err(error) if error.code() == ErrorCode::NO_SUCH_PROCEDURE => break,
            Err(error) => return Err(error.into()),
        };
        let told = result.map(|reply| serde_json::from_slice(&reply.payload));
        match told {
            Ok(Ok(answer)) => gathered.take(answer, as_micros(begun.elapsed())),
            Ok(Err(error)) => {
                let why = format!("its answer cannot be read: {error}");
                gathered.failed.push((node.to_string(), why));
            }
            // It has none that this identity may know of.
            Err(error) if error.code() == ErrorCode::NO_SUCH_PROCEDURE => {}
            Err(error) => {
                let why = format!("{}: {}", error.code().name(), escaped(error.detail()));
                gathered.failed.push((node.to_string(), why));
            }
        }
    }
    let key = |found: &Found| (found.name.clone(), found.node.clone(), found.id.clone());
    gathered.services.sort_by_key(key);
    Ok(gathered)
}
