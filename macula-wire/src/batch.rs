//! Batches: events of one publisher and topic that leave together.

mod builder;
mod entries;
mod sealed;

pub use builder::{BY_REFERENCE, BatchBuilder, BatchHead};
pub use entries::{Entries, EntriesIter};
pub use sealed::SealedBatch;

use crate::field::record;
use crate::{
    ContentType, EncodeError, Envelope, Epoch, NodeId, Sequence, Signature, TopicAlias, check,
};

/// The most events of one batch.
pub const MAX_BATCH_EVENTS: usize = 4_096;

record! {
    /// BATCH: consecutive events of one publisher, epoch and topic.
    ///
    /// The first has the sequence `base`, each further one the next. All share what stands before them. The topic is
    /// named by an alias that an [`Alias`](crate::message::Alias) announced earlier on the same stream.
    pub struct Batch {
        /// How many more nodes may pass the batch on. Not signed, because each lowers it. Stands first in the body.
        pub hops: u8,
        /// Who published.
        pub publisher: NodeId,
        /// The publisher's run.
        pub epoch: Epoch,
        /// The topic.
        pub alias: TopicAlias,
        /// The sequence of the first event.
        pub base: Sequence,
        /// How long the events are worth delivering, in milliseconds from when the batch was sent; `None` for ever.
        pub ttl_ms: Option<u32>,
        /// What the payloads are.
        pub content: ContentType,
        /// Whether each entry begins with an [`Envelope`], behind which its payload stands.
        pub enveloped: bool,
        /// The publisher's signature; there when the batch travels beyond the link that proves who published it.
        pub signature: Option<Signature>,
        /// The payloads, one to 4,096, each behind its envelope where `enveloped` says so.
        pub entries: Entries,
    }
    check check_batch
}

fn check_batch(batch: &Batch) -> Result<(), EncodeError> {
    check_range(batch.base, batch.entries.count())?;
    if batch.enveloped {
        let split = |entry| Envelope::split(&entry).map(drop);
        let all = batch.entries.iter().try_for_each(split);
        return all.map_err(|_| EncodeError::NotCanonical);
    }
    Ok(())
}

/// The sequences of a batch do not run over the end of the numbers.
fn check_range(base: Sequence, count: usize) -> Result<(), EncodeError> {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    check::require(base.get().checked_add(count).is_some(), "base", base.get())
}
