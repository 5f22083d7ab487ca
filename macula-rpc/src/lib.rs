//! Procedures and calls in Macula, without I/O.
//!
//! - [`Rpc`] is the machine of the control plane: it holds the registrations of this node and the offers of the other
//!   members, says what is to be announced and what watched, and puts out a new [`ProviderTable`] when something changed.
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
//! rpc.register(now, &DefaultRules, &who, Registrant::Local(key), procedure.clone(), options)?;
//! let Some(Output::Table(table)) = rpc.poll_output() else {
//!     return Err("no table".into());
//! };
//!
//! let candidates = table.candidates(&procedure).to_vec();
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
mod offers;
mod providers;
mod registrant;
mod rpc;
mod slots;

pub use call::{Call, CallInput, CallOutput, CallRequest};
pub use config::{CallConfig, Config, InvocationConfig};
pub use error::{RegisterError, UnregisterError, UnwatchError, WatchError};
pub use invocation::{Admission, InvocationStats, Invocations};
pub use providers::{Candidate, ProviderTable};
pub use registrant::{Provider, RegisterOptions, Registrant, RegistrationKey, SessionKey};
pub use rpc::{Input, Output, Rpc};
pub use slots::Slots;
