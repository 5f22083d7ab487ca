//! Finding what a subscription begins with: at the nodes closest to a topic, and at those that keep events of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use macula_wire::message::{
    Body, CallResult, Failure, Message, Roles, RpcCall, SignedRoutingRecord, StreamKind,
};
use macula_wire::{
    EarlierEvent, EarlierEvents, ErrorCode, NodeId, Pattern, PatternSegment, Procedure, Topic,
    TopicIndex, limit,
};

use super::announce::index_name;
use super::gathered::Gathered;
use super::question::literal;
use super::{Wanted, later};
use crate::call::Invocation;
use crate::event::Origin;
use crate::node::value_of;
use crate::plane::Plane;
use crate::plane::links::Attached;
use crate::plane::outgoing::milliseconds;
use crate::queue::{Earlier, Queue};
use crate::{Error, Node};

/// Asked by members of each other.
pub(crate) const HISTORY: &str = "$sys.history";
/// Asked by clients of their member.
pub(crate) const EARLIER: &str = "$sys.earlier";

/// How long one node has for its answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a subscription waits for what it begins with.
const ALL_PATIENCE: Duration = Duration::from_secs(8);
/// How many are asked at a time.
const AT_A_TIME: usize = 16;
/// Of how many topics last values are looked up, at most.
const MAX_TOPICS: usize = 1_024;
/// How many nodes are asked for events, at most.
const MAX_NODES: usize = 64;

/// Lets a subscription of `queue` begin with what is found, within a time.
pub(crate) async fn begin(
    plane: &Plane,
    queue: &Queue,
    found: impl Future<Output = Result<EarlierEvents, Error>>,
) {
    let earlier = match tokio::time::timeout(ALL_PATIENCE, found).await {
        Ok(Ok(earlier)) => earlier,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a subscription begins without what was before it");
            return queue.begin(Vec::new());
        }
        Err(_) => {
            tracing::debug!("what was before a subscription was not found in time");
            return queue.begin(Vec::new());
        }
    };
    queue.begin(begun(plane, earlier));
}

/// What a queue begins with: last values first, and of everything only what is for this node.
fn begun(plane: &Plane, earlier: EarlierEvents) -> Vec<Earlier> {
    let unix_ms = plane.clock.unix_ms();
    let mut begun = Vec::new();
    for one in earlier.events {
        let is_retained = one.retained;
        let Some(event) = later(one, unix_ms) else {
            continue;
        };
        if event
            .envelope
            .as_deref()
            .is_none_or(|envelope| plane.is_for_us(&event.origin, envelope))
        {
            begun.push(if is_retained {
                Earlier::Retained(event)
            } else {
                Earlier::Kept(event)
            });
        }
    }
    begun.sort_by_key(|one| !matches!(one, Earlier::Retained(_)));
    begun.extend(earlier.ends.into_iter().map(|end| {
        let origin = Origin {
            publisher: end.publisher,
            epoch: end.epoch,
            topic: end.topic,
            priority: macula_wire::message::Priority::Normal,
        };
        Earlier::End(Arc::new(origin), end.next)
    }));
    begun
}

impl Node {
    /// What anybody keeps of the topics of `pattern`.
    pub(crate) async fn earlier(
        &self,
        pattern: &Pattern,
        wanted: Wanted,
    ) -> Result<EarlierEvents, Error> {
        let plane = self.plane();
        let mut gathered = Gathered::default();
        let own = plane.archive.answer(pattern, wanted, plane.clock.unix_ms());
        gathered.take(own, pattern, |_| true);
        let named = literal(pattern);
        let indexes = match &named {
            Some(_) if wanted.history.is_none() => Vec::new(),
            _ => self.indexes(pattern).await?,
        };
        if wanted.last {
            let topics: BTreeSet<Topic> = match named {
                Some(topic) => BTreeSet::from([topic]),
                None => {
                    let all = indexes.iter().flat_map(|(_, index)| &index.topics);
                    let retained = all.filter(|one| one.retained && pattern.matches(&one.topic));
                    retained
                        .map(|one| one.topic.clone())
                        .take(MAX_TOPICS)
                        .collect()
                }
            };
            let lookups = stream::iter(topics).map(|topic| self.values(topic));
            let mut found = lookups.buffer_unordered(AT_A_TIME);
            while let Some(values) = found.next().await {
                for (owner, value) in values {
                    gathered.take(value, pattern, |publisher| *publisher == owner);
                }
            }
        }
        if wanted.history.is_some() {
            let keeps = |index: &TopicIndex| {
                let mut topics = index.topics.iter();
                topics.any(|one| one.history && pattern.matches(&one.topic))
            };
            let owners: Vec<NodeId> = indexes
                .iter()
                .filter(|(owner, index)| *owner != self.node_id() && keeps(index))
                .map(|(owner, _)| *owner)
                .take(MAX_NODES)
                .collect();
            let questions =
                stream::iter(owners).map(|owner| self.ask_history(owner, pattern, wanted));
            let mut found = questions.buffer_unordered(AT_A_TIME);
            while let Some(told) = found.next().await {
                let Some((owner, is_store, told)) = told else {
                    continue;
                };
                gathered.take(told, pattern, |publisher| is_store || *publisher == owner);
            }
        }
        Ok(gathered.whole(wanted))
    }

    /// Who keeps something of the topics with the first segment of `pattern`, and of which.
    async fn indexes(&self, pattern: &Pattern) -> Result<Vec<(NodeId, TopicIndex)>, Error> {
        let Some(PatternSegment::Literal(first)) = pattern.segments().next() else {
            return Ok(Vec::new());
        };
        let records = self.values_under(&index_name(first)).await?;
        let read = |record: &Arc<SignedRoutingRecord>| {
            let bytes = value_of(record, limit::INDEX_TYPE)?;
            Some((record.record.owner, TopicIndex::decode(bytes).ok()?))
        };
        Ok(records.iter().filter_map(read).collect())
    }

    /// The values that publishers retained on a topic.
    async fn values(&self, topic: Topic) -> Vec<(NodeId, EarlierEvents)> {
        let records = match self.values_under(topic.as_str()).await {
            Ok(records) => records,
            Err(error) => {
                tracing::debug!(%topic, %error, "the last values of a topic were not found");
                return Vec::new();
            }
        };
        let read = |record: &Arc<SignedRoutingRecord>| {
            let event = EarlierEvent::decode(value_of(record, limit::RETAINED_TYPE)?).ok()?;
            let is_true = event.retained && event.event.topic == topic;
            let events = is_true.then(|| vec![event])?;
            let told = EarlierEvents {
                events,
                ends: Vec::new(),
            };
            Some((record.record.owner, told))
        };
        records.iter().filter_map(read).collect()
    }

    /// What `node` keeps of the events of `pattern`, and whether it keeps those of others; nothing if it does not answer.
    async fn ask_history(
        &self,
        node: NodeId,
        pattern: &Pattern,
        wanted: Wanted,
    ) -> Option<(NodeId, bool, EarlierEvents)> {
        let plane = self.plane();
        let answer = async {
            if plane.links.member(&node).is_none() {
                self.open(node).await.ok()?;
            }
            let attached = plane.links.member(&node)?;
            let is_store = attached.link.peer().roles.contains(Roles::STORE);
            let procedure = Procedure::new(HISTORY).ok()?;
            let left = milliseconds(PATIENCE);
            let mut request = RpcCall::new(plane.call_id(), plane.node(), procedure, left);
            request.headers = wanted.headers(pattern);
            let result = ask(&attached, request).await?.ok()?;
            let told = EarlierEvents::decode(result.payload).ok()?;
            Some((node, is_store, told))
        };
        let answered = tokio::time::timeout(PATIENCE, answer).await.ok().flatten();
        if answered.is_none() {
            tracing::debug!(node = %node.short(), "a node that keeps events did not tell them");
        }
        answered
    }
}

/// Puts one question to the peer of a link; `None` if it could not be put, or was not answered.
async fn ask(attached: &Attached, request: RpcCall) -> Option<Result<CallResult, Failure>> {
    let _busy = attached.busy();
    let call = request.call;
    let bytes = Message::from(request).to_bytes().ok()?;
    let (mut sender, mut receiver) = attached.link.open(StreamKind::Call).await.ok()?;
    sender.send(Bytes::from(bytes)).await.ok()?;
    // The sending side stays open until here: its end would say that the caller has gone.
    while let Some(frame) = receiver.next().await.ok()? {
        match Message::decode(&frame).ok()?.body {
            Body::RpcResult(result) if result.call == call => {
                sender.finish();
                return Some(Ok(result));
            }
            Body::RpcError(error) if error.call == call => {
                sender.finish();
                return Some(Err(error.failure));
            }
            _ => {}
        }
    }
    None
}

/// Answers [`EARLIER`] and [`HISTORY`].
pub(crate) async fn answer(node: &Node, invocation: &Invocation) -> Result<Bytes, Error> {
    let Some((pattern, wanted)) = Wanted::read(&invocation.headers) else {
        let detail = "the question needs a header `pattern`";
        return Err(Error::new(ErrorCode::INVALID_ARGUMENT, detail));
    };
    let plane = node.plane();
    let found = if invocation.procedure.as_str() == HISTORY {
        plane
            .archive
            .answer(&pattern, wanted, plane.clock.unix_ms())
    } else {
        node.earlier(&pattern, wanted).await?
    };
    encoded(found, plane.max_payload_len)
}

/// `found` as bytes, without what is too much for one answer: the first of it then.
fn encoded(mut found: EarlierEvents, max: usize) -> Result<Bytes, Error> {
    loop {
        let mut bytes = Vec::new();
        let written = found.encode(&mut bytes);
        written.map_err(|error| Error::caused(ErrorCode::INTERNAL, error.to_string(), error))?;
        if bytes.len() <= max || found.events.is_empty() {
            return Ok(bytes.into());
        }
        let surplus = found.events.len().div_ceil(4);
        found.events.drain(..surplus);
    }
}

impl crate::Client {
    /// What the member finds that a subscription begins with.
    pub(crate) async fn earlier(
        &self,
        pattern: &Pattern,
        wanted: Wanted,
    ) -> Result<EarlierEvents, Error> {
        let mut options = crate::CallOptions::default().deadline(ALL_PATIENCE);
        options.headers = wanted.headers(pattern);
        let reply = self.call(EARLIER, Bytes::new(), options).await?;
        EarlierEvents::decode(reply.payload)
            .map_err(|error| Error::caused(ErrorCode::PROTOCOL_VIOLATION, error.to_string(), error))
    }
}
