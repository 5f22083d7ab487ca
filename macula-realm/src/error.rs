//! Why a certificate, a key, a trust bundle or a file was refused.

use std::io;
use std::path::PathBuf;

use macula_wire::limit::{MAX_CERTIFICATE_LEN, MAX_CHAIN};
use macula_wire::{NameError, RealmName};
use thiserror::Error;

/// Why a certificate does not say who a node is.
///
/// The text is for the local log: a peer is told only that it was refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum CertificateError {
    /// The URI is not in its one legal spelling.
    #[error(
        "the URI of the certificate is not `macula://<realm>/<64 lower-case hex digits>`: issue it with that exact URI"
    )]
    BadUri,
    /// More than four certificates, more than one intermediate between node and root, or one over 8,192 bytes.
    #[error(
        "the chain is over the limits of {MAX_CHAIN} certificates, {MAX_CERTIFICATE_LEN} bytes each and one intermediate: send the node's certificate and what its root needs, no more"
    )]
    ChainTooLong,
    /// It, or one above it, is no longer valid.
    #[error("the certificate or one above it has expired: issue a new one, or set the clock")]
    Expired,
    /// It may sign other certificates.
    #[error("a certificate that may sign others cannot be a node: issue the node its own")]
    IsCa,
    /// The key is another than the node id in the URI.
    #[error("the node id in the URI is not the key of the certificate: issue it for its own key")]
    KeyIsNotNode,
    /// A key or a signature in the chain is not Ed25519.
    #[error(
        "a key or a signature in the chain is not Ed25519: make Ed25519 keys, and sign with them only"
    )]
    KeyType,
    /// The key usage or the extended key usage is not what the profile asks for.
    #[error(
        "the certificate needs a critical keyUsage of digitalSignature without keyCertSign and cRLSign, and extendedKeyUsage of both clientAuth and serverAuth: issue it with these"
    )]
    KeyUsage,
    /// Not a certificate in the one DER encoding of X.509 version 3.
    #[error("not an X.509 version 3 certificate in DER: fetch it again, or issue a new one")]
    Malformed,
    /// The subject alternative name holds no URI.
    #[error("the certificate has no URI: issue it with `macula://<realm>/<node id>`")]
    NoUri,
    /// It does not end in a root that the bundle names.
    #[error(
        "the certificate does not end in a root of the realm: issue it with the realm's root, or add that root to the trust bundle"
    )]
    NotTrusted,
    /// It, or one above it, is not valid yet.
    #[error("the certificate or one above it is not valid yet: wait, or set the clock")]
    NotYetValid,
    /// The private key that came with it belongs to another certificate.
    #[error(
        "the private key does not belong to the certificate: bring the two together that were made together"
    )]
    OtherKey,
    /// Another rule of the profile is broken.
    #[error("{0}: issue it to the profile of Macula")]
    Profile(&'static str),
    /// More than one URI, or more than one subject alternative name.
    #[error("the certificate has more than one URI: issue one for each realm")]
    SeveralUris,
    /// It is for another realm than the one asked for.
    #[error("the certificate is for realm {found}, not {expected}: use one of {expected}")]
    WrongRealm {
        /// The realm that is asked for.
        expected: RealmName,
        /// The realm in the certificate.
        found: RealmName,
    },
}

impl CertificateError {
    /// A short word for the cause, for counters: the same for all texts of one variant.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::BadUri => "bad_uri",
            Self::ChainTooLong => "chain_too_long",
            Self::Expired => "expired",
            Self::IsCa => "is_ca",
            Self::KeyIsNotNode => "key_is_not_node",
            Self::KeyType => "key_type",
            Self::KeyUsage => "key_usage",
            Self::Malformed => "malformed",
            Self::NoUri => "no_uri",
            Self::NotTrusted => "not_trusted",
            Self::NotYetValid => "not_yet_valid",
            Self::OtherKey => "other_key",
            Self::Profile(_) => "profile",
            Self::SeveralUris => "several_uris",
            Self::WrongRealm { .. } => "wrong_realm",
        }
    }
}

/// Why a certificate could not be issued. Nothing was made.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum IssueError {
    /// A name for a web certificate is neither a DNS name nor an IP address.
    #[error("{name:?} is neither a DNS name nor an IP address: name the host as its users do")]
    BadName {
        /// The name.
        name: String,
    },
    /// The operating system gave no randomness, or the certificate library refused.
    #[error("the certificate could not be made: {0}")]
    Failed(&'static str),
    /// The request has no role.
    #[error("a certificate without a role is of no use: name member, client or both")]
    NoRole,
    /// The realm's root is not valid at this time.
    #[error("the root of the realm is not valid at this time: create a new root, or set the clock")]
    RootNotValid,
    /// What was made does not pass the check of the realm's own bundle.
    #[error("the root of the realm makes certificates that fail its own check: {0}")]
    Unusable(CertificateError),
    /// The validity is zero.
    #[error("a certificate has to be valid for at least a second: ask for more")]
    Validity,
}

/// Bytes that are not an Ed25519 private key in PKCS#8.
///
/// It says no more, so that nothing of a key can get into a message.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("not an Ed25519 private key in PKCS#8: make one with `openssl genpkey -algorithm ed25519`")]
#[non_exhaustive]
pub struct KeyError;

/// Why a text is not a trust bundle.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum TrustError {
    /// The same root stands in it twice.
    #[error("a root stands in the bundle twice: take one out")]
    DuplicateRoot,
    /// A line of the header is missing or is not what the format asks for.
    #[error("line {line} is not `{expected}`: fetch the bundle again from the realm's directory")]
    Header {
        /// The number of the line; the first is 1.
        line: usize,
        /// What has to stand there.
        expected: &'static str,
    },
    /// It has no root or more than eight.
    #[error("a bundle has 1 to 8 roots, this one has {count}")]
    RootCount {
        /// How many there are.
        count: usize,
    },
    /// The bundle is not spelled as it would be written.
    #[error(
        "the bundle is not in its one spelling, which has no comments, no spaces to spare and lines of 64: fetch it again"
    )]
    NotCanonical,
    /// The name of the realm is not legal.
    #[error("line 2 names no legal realm: {0}")]
    Realm(NameError),
    /// A root is not one.
    #[error(
        "root {number} {why}: put a self-signed Ed25519 certificate with cA=true and keyCertSign there"
    )]
    Root {
        /// Its number; the first is 1.
        number: usize,
        /// What is wrong.
        why: &'static str,
    },
}

/// Why a file could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is there, and it is not what it should be. Nothing of it is used.
    #[error("{} is damaged: {why}; restore it from a copy, or issue the node a new certificate", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is there, and writing it would destroy a key. Nothing was written.
    #[error("{} exists and holds another key: choose an empty directory", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It is not there.
    #[error("{} is missing: restore it from a copy, or make the directory anew with `macula init`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A private key that others may read or write. It was not read.
    #[error("{} can be reached by others than its owner (mode {mode:04o}): run `chmod 600 {}`", path.display(), path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// The permission bits.
        mode: u32,
    },
    /// The operating system did not let it be read.
    #[error("{} cannot be read: check who owns it and its directory", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system did not let it be written. What stood there before is untouched.
    #[error("{} cannot be written: check who owns the directory and that it has room", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}
