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

#[cfg(feature = "certificates")]
mod anchor;
mod authority;
#[cfg(feature = "certificates")]
mod certificate;
#[cfg(feature = "certificates")]
mod check;
#[cfg(feature = "certificates")]
mod der;
#[cfg(feature = "certificates")]
mod error;
#[cfg(feature = "certificates")]
mod files;
#[cfg(feature = "certificates")]
mod identity;
#[cfg(feature = "certificates")]
mod issue;
#[cfg(feature = "certificates")]
mod key;
#[cfg(feature = "certificates")]
mod pem;
mod principal;
#[cfg(all(doctest, feature = "certificates"))]
mod readme;
#[cfg(feature = "certificates")]
mod root;
mod rules;
#[cfg(feature = "certificates")]
mod sign;
#[cfg(feature = "certificates")]
mod trust;
#[cfg(feature = "certificates")]
mod web;

#[cfg(feature = "certificates")]
pub use anchor::RootCertificate;
pub use authority::{Action, Authority, Verdict};
#[cfg(feature = "certificates")]
pub use certificate::{Attributes, Certificate};
#[cfg(feature = "certificates")]
pub use error::{CertificateError, FileError, IssueError, KeyError, TrustError};
#[cfg(feature = "certificates")]
pub use identity::NodeIdentity;
#[cfg(feature = "certificates")]
pub use issue::IssueRequest;
#[cfg(feature = "certificates")]
pub use key::NodeKey;
pub use principal::{Principal, Tenant, Zone};
#[cfg(feature = "certificates")]
pub use root::RealmRoot;
pub use rules::DefaultRules;
#[cfg(feature = "certificates")]
pub use sign::{KeyVerifier, NodeSigner, sha256};
#[cfg(feature = "certificates")]
pub use trust::TrustBundle;
#[cfg(feature = "certificates")]
pub use web::{WebIdentity, web_identity};
