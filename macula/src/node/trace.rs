//! Which way leads to a node.

use macula_wire::message::{MemberRecord, TracedHop};
use macula_wire::{ErrorCode, NodeId};

use super::Node;
use crate::Error;
use crate::machine::NodeMachine;

/// The tag by which a member can be named instead of by its id.
pub(super) const NAME_TAG: &str = "name";
/// How many digits a node id has.
const DIGITS: usize = 64;

/// The way to a node, as far as it was found.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct TraceInfo {
    /// Whose way it is, 64 hexadecimal digits.
    pub node: String,
    /// Where to.
    pub target: String,
    /// What link there is: `direct`, `forwarded` or `none`.
    pub link: &'static str,
    /// Whether the way leads there.
    pub reached: bool,
    /// The name of the error code that tells why it got no further; `OK` if it did. `DEADLINE_EXCEEDED` if no answer came.
    pub code: &'static str,
    /// How long the answer took, in microseconds; of a direct link its round trip.
    pub elapsed_us: u64,
    /// The nodes on the way, this one first. What they say of those after them is not proven.
    pub hops: Vec<TraceHop>,
}

/// A node on a way.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct TraceHop {
    /// The node's id, 64 hexadecimal digits.
    pub node: String,
    /// Its tag `name`, if it is a known member and has one.
    pub name: Option<String>,
    /// The round trip on the link to the node before, in microseconds; `None` for the first node, and where it is not
    /// known.
    pub rtt_us: Option<u64>,
}

impl Node {
    /// Finds out by which members packets to `node` go, if there is no direct link to it.
    ///
    /// A node that is not reached is no error: [`TraceInfo::code`] says why. It takes up to 3 s then.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INVALID_ARGUMENT`] if `node` is this node; [`ErrorCode::SHUTTING_DOWN`].
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn trace(&self, node: NodeId) -> Result<TraceInfo, Error> {
        let own = self.node_id();
        if node == own {
            let detail = "a node is on no way to itself";
            return Err(Error::new(ErrorCode::INVALID_ARGUMENT, detail));
        }
        let linked = self.0.plane.links.member(&node);
        let direct = linked.as_ref().filter(|one| !one.link.is_forwarded());
        let link = match (&direct, &linked) {
            (Some(_), _) => "direct",
            (None, Some(_)) => "forwarded",
            (None, None) => "none",
        };
        let begun = self.0.plane.clock.now();
        let first = (own, None);
        let (code, hops) = if let Some(direct) = direct {
            let rtt = direct.link.stats().rtt;
            (ErrorCode::OK, vec![first, (node, Some(micros(rtt)))])
        } else {
            match self.0.dialler.forwarding.trace(node).await {
                Ok(Some(traced)) => {
                    let step = |step: &TracedHop| (step.node, rtt_us(step));
                    (traced.code, traced.path.iter().map(step).collect())
                }
                Ok(None) => (ErrorCode::DEADLINE_EXCEEDED, vec![first]),
                Err(_) => (ErrorCode::UNREACHABLE, vec![first]),
            }
        };
        let elapsed = match hops.as_slice() {
            [_, (_, Some(rtt))] if link == "direct" => *rtt,
            _ => micros(self.0.plane.clock.now().saturating_since(begun)),
        };
        Ok(TraceInfo {
            node: own.to_string(),
            target: node.to_string(),
            link,
            reached: code == ErrorCode::OK,
            code: code.name(),
            elapsed_us: elapsed,
            hops: self.with_names(hops).await?,
        })
    }

    /// The node that is meant by its id, by the start of it that fits one member only, or by its tag `name`.
    pub(crate) async fn named(&self, text: &str) -> Result<NodeId, Error> {
        let text = text.to_owned();
        let find = move |machine: &mut NodeMachine, _| resolve(machine, &text);
        self.0.control.run(find).await?
    }

    async fn with_names(&self, hops: Vec<(NodeId, Option<u64>)>) -> Result<Vec<TraceHop>, Error> {
        let name = |machine: &NodeMachine, node: &NodeId| {
            let member = machine.swim().member(node)?;
            name_of(&member.record()).map(ToOwned::to_owned)
        };
        self.0
            .control
            .run(move |machine, _| {
                let hop = |(node, rtt_us): (NodeId, Option<u64>)| TraceHop {
                    name: name(machine, &node),
                    node: node.to_string(),
                    rtt_us,
                };
                hops.into_iter().map(hop).collect()
            })
            .await
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn rtt_us(step: &TracedHop) -> Option<u64> {
    Some(u64::from(step.rtt_us)).filter(|rtt| *rtt > 0)
}

fn name_of(record: &MemberRecord) -> Option<&str> {
    let tag = record.tags.iter().find(|tag| tag.key == NAME_TAG);
    tag.map(|tag| tag.value.as_str())
}

/// The member that `text` means: its id, the start of its id, or its tag `name`. A whole id need not be known.
fn resolve(machine: &NodeMachine, text: &str) -> Result<NodeId, Error> {
    let invalid = |detail: String| Error::new(ErrorCode::INVALID_ARGUMENT, detail);
    if text.len() == DIGITS
        && let Ok(node) = text.parse()
    {
        return Ok(node);
    }
    let members = machine.swim().members();
    let fits = |member: &&macula_swim::Member| {
        let begins = !text.is_empty() && member.node().to_string().starts_with(text);
        begins || name_of(&member.record()) == Some(text)
    };
    let found: Vec<NodeId> = members
        .filter(fits)
        .map(macula_swim::Member::node)
        .collect();
    match found.as_slice() {
        [node] => Ok(*node),
        [] => Err(invalid(format!(
            "no member has an id that begins with {text:?}, or this name: see `macula members`"
        ))),
        more => Err(invalid(format!(
            "{} members fit {text:?}: give more of the id",
            more.len()
        ))),
    }
}
