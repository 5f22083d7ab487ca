//! Membership of a realm: SWIM as a state machine without I/O.
//!
//! [`Swim`] knows who takes part in a realm, probes them by turns, suspects who does not answer, declares dead who does
//! not refute in time, and spreads what it learns with the messages that it sends anyway (Das, Gupta, Motivala: SWIM,
//! DSN 2002). What a member says of itself is signed by that member; that somebody is dead is never believed on the
//! word of one accuser alone.
//!
//! The machine does no cryptography on what comes in: whoever feeds it calls [`verify()`] first, and before that
//! [`AccusationLimit::retain`], so that no peer can make it check signatures without end.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//!
//! use macula_swim::{Config, Input, OwnRecord, Swim};
//! use macula_testkit::{StubSigner, node_id};
//! use macula_wire::{Epoch, Instant, Machine, Random, RealmName};
//!
//! let realm = RealmName::new("be.acme.iot")?;
//! let signer = Arc::new(StubSigner::new(node_id(0)));
//! let wall_ms = 1_700_000_000_000;
//! let own = OwnRecord::new(Epoch::new(wall_ms));
//! let now = Instant::from_millis(1);
//! let mut swim = Swim::new(Config::default(), realm, signer, own, Random::new(7), now, wall_ms)?;
//! assert_eq!(swim.members().count(), 1, "a node is a member of its own view");
//!
//! // The link to the seed is up: ask it for the others.
//! swim.handle_input(now, Input::LinkUp { peer: node_id(1) });
//! swim.join(now, node_id(1))?;
//! assert!(swim.poll_output().is_some(), "a message to the seed");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod altered;
mod config;
mod digest;
mod error;
mod gossip;
mod health;
mod index;
mod kept;
mod limit;
mod member;
mod members;
pub mod overlay;
mod own;
mod peers;
mod probe;
mod rotation;
mod rtt;
mod snapshot;
mod suspicion;
mod swim;
mod timer;
mod verify;

pub use config::Config;
pub use error::{JoinError, Offence, RecordError};
pub use limit::{AccusationLimit, Excess};
pub use member::{Counts, Member, State};
pub use overlay::Overlay;
pub use own::{OwnRecord, Pen};
pub use snapshot::Snapshot;
pub use swim::{Class, Input, Output, Stats, Swim};
pub use verify::{MAX_RECORD_LEN, verify};
