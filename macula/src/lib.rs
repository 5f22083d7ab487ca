//! Macula: processes join a realm over QUIC, find each other without a server, and exchange events and calls.
//!
//! A [`Node`] is a full member of a realm inside your process. A [`Client`] attaches to a member, over its Unix socket
//! or over QUIC, and publishes, subscribes, calls and serves through it.
//!
//! # Examples
//!
//! Two members in one process; the realm's root would stay offline in real use:
//!
//! ```
//! use macula::{Delivery, Node, SubscribeOptions};
//! use macula::realm::{IssueRequest, RealmRoot};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let root = RealmRoot::create("be.acme.iot".parse()?, macula::unix_time(), RealmRoot::DEFAULT_VALIDITY)?;
//! let describe = || -> Result<_, Box<dyn std::error::Error>> {
//!     let identity = root.issue(&IssueRequest::default(), macula::unix_time())?;
//!     Ok(Node::builder().identity(identity).trust(root.bundle().clone()).listen("127.0.0.1:0".parse()?))
//! };
//! let (one, two) = (describe()?.start().await?, describe()?.start().await?);
//! let mut readings = two.subscribe("home.*.temperature", SubscribeOptions::default()).await?;
//! two.connect(one.local_addr()).await?;
//! one.wait_for_subscribers("home.42.temperature").await?;
//! one.publish("home.42.temperature", "21.5").await?;
//! if let Some(Delivery::Event(event)) = readings.next().await {
//!     assert_eq!(&event.payload()[..], b"21.5");
//! }
//! # one.shutdown().await;
//! # two.shutdown().await;
//! # Ok(())
//! # }
//! ```
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "messages and outputs of other crates grow with later versions: what is not named is refused or passed over"
)]

mod builder;
mod call;
mod client;
mod codec;
mod credentials;
mod directory;
mod error;
mod event;
mod graph;
mod group;
mod keep;
mod log;
mod machine;
mod matching;
mod node;
mod plane;
mod publisher;
mod queue;
mod receipt;
mod served;
mod services;
mod stats;
mod subscription;
pub mod system;
mod testament;
mod time;
mod typed;

pub use builder::{DEFAULT_DIRECT, DEFAULT_PORT, NodeBuilder};
pub use call::{
    CallFailure, CallOptions, Calling, Canceller, Invocation, NodeReply, PartSender, Replies,
    Reply, Route,
};
pub use client::{Client, ClientBuilder};
pub use codec::Codec;
pub use credentials::RealmCredentials;
pub use directory::{
    ConfigError, DirectoryError, LimitsConfig, MemberList, MemberListError, NodeConfig,
    NodeDirectory, StoreConfig,
};
pub use error::Error;
pub use event::{
    ClosedReason, DeadLetter, Delivery, DeliveryBatch, Event, EventOptions, EventRef, Events, Gap,
    GapCause, Subscribers,
};
pub use graph::{Graph, GraphEdge, GraphNode};
pub use group::{Balance, Group};
pub use keep::Keeping;
pub use machine::{
    Lane, MemberEvent, Neighbourhood, NodeInput, NodeMachine, NodeOutput, TreeNeeds, Watched, Wish,
    is_of_forwarding, is_of_overlay, is_of_routing,
};
pub use matching::Matching;
pub use node::{
    ContactInfo, FindOptions, Findings, MemberInfo, Node, PeerInfo, Query, RecordInfo, RoutingInfo,
    StepInfo, TableEntry, TraceHop, TraceInfo,
};
pub use plane::counters::Counts;
pub use plane::forward::{ForwardingConfig, ForwardingCounts};
pub use plane::trees::counts::TreeCounts;
pub use publisher::{EventBatch, PublishOptions, Publisher};
pub use queue::{History, Order, Overflow, SubscribeOptions, SubscriptionCounts};
pub use receipt::{EventId, PendingReceipt, PendingReceipts, Qos, Receipt, Receipts};
pub use served::Served;
pub use services::{Service, ServiceOptions};
pub use stats::{
    AuthFailures, CacheCounts, EndpointCounts, MemberCounts, MembershipCounts, NodeStats,
    RoutingCounts, process,
};
pub use subscription::Subscription;
pub use testament::TestamentOn;
pub use time::unix_time;

pub use macula_realm as realm;
pub use macula_rpc::{Match, RegisterOptions};
pub use macula_transport as transport;
pub use macula_wire as wire;
