//! The table of providers: who serves which procedure.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use macula_wire::Procedure;

use crate::{Provider, Slots};

/// A provider that a call may be sent to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "callers build them for tests and benches"
)]
pub struct Candidate {
    /// Who.
    pub provider: Provider,
    /// How much of the calls it is to get beside others; 0 for none.
    pub weight: u32,
}

/// Who serves which procedure, at one moment.
///
/// It never changes; [`Rpc`](crate::Rpc) puts out a new one instead, which shares the lists that did not change. A new
/// one costs O(procedures).
#[derive(Clone, Default)]
pub struct ProviderTable {
    version: u64,
    providers: Arc<Providers>,
    slots: Arc<BTreeMap<Provider, Slots>>,
}

/// By procedure, with the providers of each ascending, so that those on this node come first.
pub(crate) type Providers = BTreeMap<Procedure, Arc<[Candidate]>>;

impl ProviderTable {
    pub(crate) const fn of(
        version: u64,
        providers: Arc<Providers>,
        slots: Arc<BTreeMap<Provider, Slots>>,
    ) -> Self {
        Self {
            version,
            providers,
            slots,
        }
    }

    /// Counts the tables of one node; 0 is the empty one that it starts with.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Everybody who serves `procedure`, those on this node first; empty if nobody does.
    #[must_use]
    pub fn candidates(&self, procedure: &Procedure) -> &[Candidate] {
        self.providers
            .get(procedure)
            .map(|list| &**list)
            .unwrap_or_default()
    }

    /// Those of [`candidates`](Self::candidates) that are on this node: who may be given a call that another member sent,
    /// which must not go on to a third.
    #[must_use]
    pub fn candidates_here(&self, procedure: &Procedure) -> &[Candidate] {
        let all = self.candidates(procedure);
        let here = all.partition_point(|candidate| candidate.provider.is_here());
        all.get(..here).unwrap_or_default()
    }

    /// The bound on the calls of a registration on this node, for [`Invocations::admit`](crate::Invocations::admit).
    #[must_use]
    pub fn slots(&self, provider: Provider) -> Option<&Slots> {
        self.slots.get(&provider)
    }

    /// The procedures that somebody serves, ascending.
    pub fn procedures(&self) -> impl Iterator<Item = &Procedure> {
        self.providers.keys()
    }

    /// How many procedures somebody serves.
    #[must_use]
    pub fn len(&self) -> usize {
        self.providers.len()
    }

    /// Whether nobody serves anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }
}

impl fmt::Debug for ProviderTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderTable")
            .field("version", &self.version)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
