//! Procedures and calls in Macula, without I/O.
//!
//! - [`Rpc`] is the machine of the control plane: it holds the registrations of this node and the offers of the other
//!   members, decides with them who counts ([`Offer`]), says what is to be announced and what watched, and puts out a new
//!   [`ProviderTable`] when something changed.
//! - [`Call`] is a machine for one outgoing call: it chooses a provider, tries the next one where that is safe, and ends
//!   by the deadline with a result or a typed failure. The task that owns the call's stream owns it.
//! - [`Invocations`] admits incoming calls: no call id runs twice, and no registration takes more than it said.
//!
//! # Examples
//!
//! A registration becomes a table, and a call is sent to its provider:
//!
//! ```
//! use macula_realm::{DefaultRules, Principal};
//! use macula_rpc::{
//!     Call, CallConfig, CallOutput, CallRequest, Config, Output, Provider, RegisterOptions,
//!     Registrant, RegistrationKey, Rpc,
//! };
//! use macula_wire::message::Roles;
//! use macula_wire::{CallId, Instant, Machine, NodeId, Procedure, Random};
//!
//! let own = NodeId::from_bytes([1; 32]);
//! let who = Principal::new(own, Roles::MEMBER);
//! let now = Instant::from_millis(1);
//! let mut rpc = Rpc::new(Config::default(), own, now);
//! let procedure = Procedure::new("temperature.latest")?;
//! let key = RegistrationKey::new(1);
//! let options = RegisterOptions::default();
//! let pattern = options.matching.pattern("temperature.latest")?;
//! rpc.register(now, &DefaultRules, &who, Registrant::Local(key), pattern, options)?;
//! let table = std::iter::from_fn(|| rpc.poll_output()).find_map(|output| match output {
//!     Output::Table(table) => Some(table),
//!     _ => None,
//! });
//! let table = table.ok_or("no table")?;
//!
//! let candidates = table.find(&procedure).cloned();
//! let deadline = Instant::from_millis(5_001);
//! let request = CallRequest::new(CallId::from_bytes([9; 16]), procedure, deadline);
//! let mut call = Call::new(CallConfig::default(), request, candidates, Random::new(8), now);
//! let sent = call.poll_output();
//! assert_eq!(
//!     sent,
//!     Some(CallOutput::Send { to: Provider::Local(key), attempt: 1, deadline_ms: 5_000 })
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod call;
mod config;
mod error;
mod invocation;
mod lookup;
mod offer;
mod offers;
mod providers;
mod registrant;
mod rpc;
mod slots;
mod standing;

pub use call::{Call, CallInput, CallOutput, CallRequest, Scope};
pub use config::{CallConfig, Config, InvocationConfig};
pub use error::{RegisterError, UnregisterError, UnwatchError, WatchError};
pub use invocation::{Admission, Entry, InvocationStats, Invocations};
pub use offer::{Match, Offer, OfferKey};
pub use providers::{Candidate, Candidates, ProviderTable};
pub use registrant::{Provider, RegisterOptions, Registrant, RegistrationKey, SessionKey};
pub use rpc::{Input, Output, Rpc};
pub use slots::Slots;
