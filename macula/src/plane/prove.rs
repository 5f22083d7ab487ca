//! Who published a batch that did not come from its publisher's own link.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use macula_realm::{KeyVerifier, NodeSigner, TrustBundle, sha256};
use macula_transport::OutFrame;
use macula_wire::message::{Alias, Body, Message, Roles};
use macula_wire::{Batch, NodeId, RealmName, Signer, Topic, Verifier, signed};

/// Signs this client's batches, and checks those of clients that other members pass on.
pub(crate) struct Prover {
    realm: RealmName,
    trust: Option<Arc<TrustBundle>>,
    signer: Option<NodeSigner>,
}

impl Prover {
    /// One that checks by `trust` and, given a `signer`, signs.
    pub(crate) const fn new(
        realm: RealmName,
        trust: Option<Arc<TrustBundle>>,
        signer: Option<NodeSigner>,
    ) -> Self {
        Self {
            realm,
            trust,
            signer,
        }
    }

    /// Whether batches of this process are signed: those of a client that attaches over a network.
    pub(crate) const fn signs(&self) -> bool {
        self.signer.is_some()
    }

    /// Signs `batch` and encodes it. `None` if this process does not sign.
    pub(crate) fn sign(
        &self,
        realm: &RealmName,
        topic: &Topic,
        batch: &mut Batch,
    ) -> Option<OutFrame> {
        sign(self.signer.as_ref()?, realm, topic, batch)?;
        OutFrame::message(&Message::from(Body::Batch(batch.clone()))).ok()
    }

    /// Whether the certificates of `alias` prove that its publisher is of this realm and may publish.
    pub(crate) fn knows(&self, alias: &Alias, now_unix_s: u64) -> bool {
        let chain: Vec<&[u8]> = alias.chain.iter().map(Bytes::as_ref).collect();
        self.trust.as_ref().is_some_and(|trust| {
            trust.check(&chain, now_unix_s).is_ok_and(|certificate| {
                certificate.node() == alias.publisher
                    && (certificate.roles().contains(Roles::CLIENT)
                        || certificate.roles().contains(Roles::MEMBER))
            })
        })
    }

    /// Whether `batch` carries its publisher's signature for `topic`.
    pub(crate) fn proves(&self, publisher: NodeId, topic: &Topic, batch: &Batch) -> bool {
        let Some(signature) = &batch.signature else {
            return false;
        };
        let digest = sha256(batch.entries.encoded());
        signed::batch_bytes(&self.realm, topic, batch, &digest)
            .is_ok_and(|bytes| KeyVerifier.verify(publisher, &bytes, signature))
    }
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prover")
            .field("realm", &self.realm)
            .field("signs", &self.signs())
            .finish_non_exhaustive()
    }
}

/// Signs `batch`. `None` if there is nothing to be signed in it.
pub(crate) fn sign(
    signer: &NodeSigner,
    realm: &RealmName,
    topic: &Topic,
    batch: &mut Batch,
) -> Option<()> {
    let digest = sha256(batch.entries.encoded());
    let bytes = signed::batch_bytes(realm, topic, batch, &digest).ok()?;
    batch.signature = Some(signer.sign(&bytes));
    Some(())
}
