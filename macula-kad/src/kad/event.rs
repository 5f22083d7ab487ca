//! What the machine takes in, and what it puts out.

use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::Contact;
use macula_wire::{Body, Key, NodeId};

use crate::Checked;
use crate::lookup::Step;

/// Something that happened outside.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "most inputs are messages")]
pub enum Input {
    /// A message came from a peer whose identity its link proves.
    Message {
        /// The peer, with the addresses at which it can be reached, as far as the caller knows them.
        from: Arc<Contact>,
        /// The message.
        body: Checked,
    },
    /// A node can be asked at these addresses: who it is was proven, by a link for example.
    Contact(Arc<Contact>),
    /// A node is a member of the realm, or has other addresses, as membership says. Lookups begin with the members.
    Member(Arc<Contact>),
    /// Membership says that a node is dead or has left.
    MemberGone(NodeId),
    /// A node cannot be reached at present: what it was asked has failed.
    Unreachable(NodeId),
}

/// Something the caller has to do or may want to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "most outputs are messages")]
pub enum Output {
    /// Send a message to a node; reach it first if there is no link. What cannot be sent is dropped, and
    /// [`Input::Unreachable`] saves time then.
    Send {
        /// To whom.
        to: Arc<Contact>,
        /// What.
        body: Body,
    },
    /// A lookup has ended.
    Found(Outcome),
}

/// Names a lookup of one machine.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct QueryId(pub(crate) u64);

/// What a lookup is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Goal {
    /// The nodes closest to a key.
    Closest(Key),
    /// A node: the lookup ends when it has answered.
    Node(NodeId),
}

/// How a lookup goes about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LookupOptions {
    /// Over how many paths that have no node in common; 1 to 20. With more than one, liars among the nodes have to stand
    /// on all of them to hide something. Default: 1.
    pub paths: usize,
    /// Whether to begin with the members that membership knows, where it does. Default: yes.
    pub seeded: bool,
}

impl Default for LookupOptions {
    fn default() -> Self {
        Self {
            paths: 1,
            seeded: true,
        }
    }
}

/// How a lookup ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Which.
    pub query: QueryId,
    /// What it was for.
    pub goal: Goal,
    /// Whether it came to its end; otherwise its time was over.
    pub complete: bool,
    /// The closest that answered, closest first; at most k.
    pub closest: Vec<Arc<Contact>>,
    /// How many requests in a row led to the closest; 0 if nobody answered.
    pub hops: u32,
    /// After how long the closest had answered.
    pub closest_after: Duration,
    /// How long the lookup took.
    pub took: Duration,
    /// How many requests it made.
    pub requests: u32,
    /// How many answers were late.
    pub late: u32,
    /// The requests, in the order in which they were made.
    pub steps: Vec<Step>,
}

/// Counts since the machine was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Lookups begun.
    pub queries: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests whose answer was late.
    pub late: u64,
    /// Requests that were not answered.
    pub failed: u64,
    /// Requests of others that were answered.
    pub answered: u64,
    /// Requests of others beyond what a peer may ask.
    pub refused_rate: u64,
    /// Answers that nobody had asked for.
    pub unasked: u64,
    /// Contacts that were refused: a node that names itself as another's neighbour, or one twice.
    pub refused_contacts: u64,
}
