//! What this node says of itself.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use macula_wire::message::{
    Accusation, MemberRecord, MemberStatus, Roles, SignedAccusation, SignedRecord, Tag, Update,
};
use macula_wire::{Domain, Epoch, Incarnation, NodeId, RealmName, Signer, signed};

use crate::RecordError;
use crate::member::Member;
use crate::verify::{MAX_RECORD_LEN, update_len};

/// What this node says of itself when it starts.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct OwnRecord {
    /// This run of the node; above those of all its earlier runs.
    pub epoch: Epoch,
    /// Where the node can be dialled, best first; at most 8. Default: none, then nobody dials it.
    pub addresses: Vec<SocketAddr>,
    /// The roles of its certificate. Default: member.
    pub roles: Roles,
    /// The zone of its certificate, at most 64 bytes. Default: none.
    pub zone: Option<String>,
    /// The program and its version, at most 64 bytes. Default: empty.
    pub agent: String,
    /// The application's own marks, at most 16, no key twice. Default: none.
    pub tags: Vec<Tag>,
}

impl OwnRecord {
    /// A record of the run `epoch` with all else at its default.
    #[must_use]
    pub const fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            addresses: Vec::new(),
            roles: Roles::MEMBER,
            zone: None,
            agent: String::new(),
            tags: Vec::new(),
        }
    }

    pub(crate) fn into_record(self, node: NodeId) -> MemberRecord {
        MemberRecord {
            node,
            epoch: self.epoch,
            incarnation: Incarnation::default(),
            status: MemberStatus::Alive,
            addresses: self.addresses,
            roles: self.roles,
            zone: self.zone,
            agent: self.agent,
            tags: in_order(self.tags),
        }
    }
}

/// Tags in the one order in which they are signed.
pub(crate) fn in_order(mut tags: Vec<Tag>) -> Vec<Tag> {
    tags.sort_by(|a, b| a.key.cmp(&b.key));
    tags
}

/// Signs on behalf of this node, for one realm.
pub struct Pen {
    realm: RealmName,
    signer: Arc<dyn Signer + Send + Sync>,
}

/// What an accusation says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Claim {
    /// The subject does not answer.
    Suspect,
    /// The subject has not answered for long enough.
    Dead,
}

impl Claim {
    pub(crate) const fn domain(self) -> Domain {
        match self {
            Self::Suspect => Domain::Suspect,
            Self::Dead => Domain::Dead,
        }
    }

    pub(crate) const fn update(self, accusation: Arc<SignedAccusation>) -> Update {
        match self {
            Self::Suspect => Update::Suspect(accusation),
            Self::Dead => Update::Dead(accusation),
        }
    }
}

impl Pen {
    /// Signs as `signer` for `realm`.
    #[must_use]
    pub const fn new(realm: RealmName, signer: Arc<dyn Signer + Send + Sync>) -> Self {
        Self { realm, signer }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.signer.node()
    }

    pub(crate) const fn realm(&self) -> &RealmName {
        &self.realm
    }

    /// Signs a record, if it is one that others accept.
    pub(crate) fn record(&self, record: MemberRecord) -> Result<Arc<SignedRecord>, RecordError> {
        let bytes = signed::member_bytes(&self.realm, &record)?;
        let signature = self.signer.sign(&bytes);
        let signed = SignedRecord { record, signature };
        // Its number takes more bytes when it is raised, and a record that cannot be raised cannot refute.
        let mut longest = signed.clone();
        longest.record.incarnation = Incarnation::new(u64::MAX);
        let length = update_len(&Update::Record(Arc::new(longest)))?;
        if length > MAX_RECORD_LEN {
            let max = MAX_RECORD_LEN;
            return Err(RecordError::TooLarge { length, max });
        }
        Ok(Arc::new(signed))
    }

    /// Accuses a member in the version that is known.
    pub(crate) fn accuse(&self, claim: Claim, member: &Member) -> Arc<SignedAccusation> {
        let (epoch, incarnation) = member.version();
        let accusation = Accusation {
            subject: member.node(),
            epoch,
            incarnation,
            accuser: self.node(),
        };
        let bytes = signed::accusation_bytes(claim.domain(), &self.realm, &accusation);
        let signature = self.signer.sign(&bytes);
        Arc::new(SignedAccusation {
            accusation,
            signature,
        })
    }
}

impl fmt::Debug for Pen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pen")
            .field("node", &self.node())
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}
