//! Identity and trust in Macula: realms, certificates, trust bundles, rights.
//!
//! The crate answers two questions. *Who is that?* A node is who its certificate says, if the certificate ends in a
//! root of the realm that it names. *May it do this?* That is for an [`Authority`], asked with the [`Principal`] of
//! the certificate.
//!
//! Without the feature `certificates` only the second half is there, and the crate is a core: no files, no clock, no
//! randomness. With it, on by default, the crate makes keys with the randomness of the operating system and keeps
//! them in files; time is still an argument.
//!
//! # Examples
//!
//! ```
//! use macula_realm::{Action, Authority, DefaultRules, Principal, Tenant};
//! use macula_wire::NodeId;
//! use macula_wire::message::Roles;
//!
//! let who = Principal::new(NodeId::default(), Roles::CLIENT).with_tenant(Tenant::new("acme")?);
//! assert!(DefaultRules.check(&who, Action::Publish, "acme.temperature").is_allowed());
//! assert!(!DefaultRules.check(&who, Action::Subscribe, "other.**").is_allowed());
//! # Ok::<(), macula_wire::NameError>(())
//! ```

mod authority;
mod principal;
mod rules;

pub use authority::{Action, Authority, Verdict};
pub use principal::{Principal, Tenant, Zone};
pub use rules::DefaultRules;
