//! Topics, interest and the forwarding of events in Macula, without I/O.
//!
//! Two halves meet in an immutable [`Table`]:
//!
//! - [`PubSub`] decides. It is a machine that holds the subscriptions of this node and the interest of the other
//!   members, says which patterns are to be announced and which keys watched, and puts out a new table when something
//!   changed.
//! - [`Forwarder`] forwards. It is a plain value that the tasks which read links share. For each batch it says which
//!   events are new, which are missing, and by the table who is owed them.
//!
//! # Examples
//!
//! A subscription becomes a table, and the table routes an event:
//!
//! ```
//! use macula_pubsub::{Config, Destination, Forwarder, LocalId, Output, PubSub, Source, Subscriber};
//! use macula_realm::{DefaultRules, Principal};
//! use macula_wire::message::Roles;
//! use macula_wire::{Instant, Machine, NodeId, Pattern, Topic};
//!
//! let own = NodeId::from_bytes([1; 32]);
//! let who = Principal::new(own, Roles::MEMBER);
//! let now = Instant::from_millis(1);
//! let mut pubsub = PubSub::new(Config::default(), own, now);
//! let subscriber = Subscriber::Local(LocalId::new(1));
//! pubsub.subscribe(now, &DefaultRules, &who, subscriber, Pattern::new("home.*.measured")?)?;
//!
//! let Some(Output::Table(table)) = pubsub.poll_output() else {
//!     return Err("no table".into());
//! };
//! let mut owed = Vec::new();
//! Forwarder::route(&table, &Topic::new("home.42.measured")?, Source::Own, &mut owed);
//! assert_eq!(owed, [Destination::Local(LocalId::new(1))]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ahead;
mod config;
mod error;
mod estate;
mod forwarder;
mod groups;
mod ids;
mod intake;
mod interest;
mod matcher;
mod owner;
mod pubsub;
mod repeats;
mod replay;
mod shares;
mod subscriber;
mod table;
mod tree;
mod watch;

pub use ahead::Ahead;
pub use config::{Config, EstateConfig, ForwarderConfig, IntakeConfig, ReplayConfig};
pub use error::{DeclareError, RetractError, SubscribeError, UnsubscribeError};
pub use estate::{
    Bequest, Estate, EstateInput, EstateOutput, Inheritance, SharedEvent, SharedWith,
};
pub use forwarder::{Acceptance, Forwarder, ForwarderStats, Missing, Source};
pub use groups::{GroupMatch, GroupTable};
pub use intake::{Intake, IntakeInput, IntakeOffence, IntakeOutput, Taken};
pub use matcher::MatchKey;
pub use pubsub::{Input, Output, PubSub};
pub use repeats::{Repeats, RepeatsConfig};
pub use replay::{
    Custody, GroupOffer, Offer, OfferError, Outcome, ReceiptId, Replay, ReplayInput, ReplayOffence,
    ReplayOutput, Transmit, Upstream,
};
pub use shares::{Share, ShareKey, Shares};
pub use subscriber::{Destination, LocalId, SessionId, Subscriber};
pub use table::Table;
pub use tree::{Rings, Tree, TreeBatch, TreeConfig, TreeInput, TreeOutput, TreeStats};
pub use watch::WatchKey;
