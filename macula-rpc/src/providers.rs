//! The table of providers: who serves what.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use macula_realm::Zone;
use macula_wire::message::Invoke;
use macula_wire::{NodeId, Pattern, Procedure};

use crate::lookup::Lookup;
use crate::{Provider, Slots};

/// A provider that a call may be sent to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Candidate {
    /// Who.
    pub provider: Provider,
    /// How much of the calls it is to get beside others; 0 for none.
    pub weight: u32,
    /// Where it stands.
    pub zone: Option<Zone>,
    /// Since when it serves, in milliseconds since 1970 by its own clock.
    pub since_ms: u64,
    /// How many calls it takes at a time.
    pub concurrency: u32,
    /// The calls that it has: all of them for one on this node, those of this node for another member.
    pub slots: Slots,
}

impl Candidate {
    /// A provider of no zone without a call, which takes as many as come.
    #[must_use]
    pub fn new(provider: Provider, weight: u32) -> Self {
        Self {
            provider,
            weight,
            zone: None,
            since_ms: 0,
            concurrency: u32::MAX,
            slots: Slots::new(u32::MAX),
        }
    }

    /// Whether it can be seen from here that it would refuse a further call.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.slots.used() >= self.concurrency
    }
}

impl PartialEq for Candidate {
    /// Whether they say the same of the same provider, however many calls it has.
    fn eq(&self, other: &Self) -> bool {
        let said = |one: &Self| (one.provider, one.weight, one.since_ms, one.concurrency);
        said(self) == said(other) && self.zone == other.zone
    }
}

impl Eq for Candidate {}

/// Those who serve one pattern, and how calls are spread among them. Cloning shares them.
#[derive(Clone)]
pub struct Candidates(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pattern: Pattern,
    invoke: Invoke,
    own: NodeId,
    /// How many of the list are on this node.
    here: usize,
    list: Vec<Candidate>,
    /// Counts the calls of this node, for those who take turns. It goes on from table to table.
    turn: Arc<AtomicU64>,
}

impl Candidates {
    /// The providers of `pattern` as the node `own` sees them.
    #[must_use]
    pub fn new(pattern: Pattern, invoke: Invoke, own: NodeId, list: Vec<Candidate>) -> Self {
        Self::going_on(pattern, invoke, own, list, None)
    }

    /// The same, whose turns go on from those `before`.
    pub(crate) fn going_on(
        pattern: Pattern,
        invoke: Invoke,
        own: NodeId,
        mut list: Vec<Candidate>,
        before: Option<&Self>,
    ) -> Self {
        list.sort_by_key(|candidate| candidate.provider);
        let here = list.partition_point(|candidate| candidate.provider.is_here());
        let turn = before.map(|before| Arc::clone(&before.0.turn));
        Self(Arc::new(Shared {
            pattern,
            invoke,
            own,
            here,
            list,
            turn: turn.unwrap_or_default(),
        }))
    }

    /// One provider alone.
    #[must_use]
    pub fn only(own: NodeId, provider: Provider, procedure: &Procedure) -> Self {
        let list = vec![Candidate::new(provider, 1)];
        Self::new(Pattern::from(procedure), Invoke::First, own, list)
    }

    /// Nobody.
    pub(crate) fn none(procedure: &Procedure) -> Self {
        let (own, list) = (NodeId::default(), Vec::new());
        Self::new(Pattern::from(procedure), Invoke::First, own, list)
    }

    /// What they serve.
    #[must_use]
    pub fn pattern(&self) -> &Pattern {
        &self.0.pattern
    }

    /// Who of them gets a call.
    #[must_use]
    pub fn invoke(&self) -> Invoke {
        self.0.invoke
    }

    /// The node that sees them so.
    #[must_use]
    pub fn own(&self) -> NodeId {
        self.0.own
    }

    /// All of them, those on this node first, otherwise ascending.
    #[must_use]
    pub fn all(&self) -> &[Candidate] {
        &self.0.list
    }

    /// Those on this node: who may be given a call that another member sent, which must not go on to a third.
    #[must_use]
    pub fn here(&self) -> &[Candidate] {
        self.0.list.get(..self.0.here).unwrap_or_default()
    }

    pub(crate) fn turn(&self) -> &AtomicU64 {
        &self.0.turn
    }
}

impl PartialEq for Candidates {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        (one.invoke, &one.pattern, &one.list) == (other.invoke, &other.pattern, &other.list)
    }
}

impl Eq for Candidates {}

impl fmt::Debug for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} ", self.0.pattern, self.0.invoke)?;
        let each = self.0.list.iter();
        f.debug_map()
            .entries(each.map(|one| (one.provider, one.weight)))
            .finish()
    }
}

/// Who serves what, at one moment.
///
/// It never changes; [`Rpc`](crate::Rpc) puts out a new one instead, which shares what did not change. A new one costs
/// O(patterns).
#[derive(Clone, Default)]
pub struct ProviderTable {
    version: u64,
    providers: Arc<Providers>,
    wild: Arc<Lookup>,
    slots: Arc<BTreeMap<Provider, Slots>>,
}

/// By pattern.
pub(crate) type Providers = BTreeMap<Pattern, Candidates>;

impl ProviderTable {
    pub(crate) const fn of(
        version: u64,
        providers: Arc<Providers>,
        wild: Arc<Lookup>,
        slots: Arc<BTreeMap<Provider, Slots>>,
    ) -> Self {
        Self {
            version,
            providers,
            wild,
            slots,
        }
    }

    /// Counts the tables of one node; 0 is the empty one that it starts with.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Those who serve the most specific pattern that covers `procedure`: compared from the left, a segment goes before
    /// `*`, and `*` before `**`. `None` if nobody serves it.
    #[must_use]
    pub fn find(&self, procedure: &Procedure) -> Option<&Candidates> {
        self.providers
            .get(procedure.as_str())
            .or_else(|| self.wild.find(procedure))
    }

    /// Those of [`find`](Self::find); empty if nobody serves it.
    #[must_use]
    pub fn candidates(&self, procedure: &Procedure) -> &[Candidate] {
        self.find(procedure)
            .map(Candidates::all)
            .unwrap_or_default()
    }

    /// Those of [`candidates`](Self::candidates) that are on this node.
    #[must_use]
    pub fn candidates_here(&self, procedure: &Procedure) -> &[Candidate] {
        self.find(procedure)
            .map(Candidates::here)
            .unwrap_or_default()
    }

    /// Those who serve exactly this pattern.
    #[must_use]
    pub fn of_pattern(&self, pattern: &Pattern) -> Option<&Candidates> {
        self.providers.get(pattern)
    }

    /// The bound on the calls of a registration on this node, for [`Invocations::admit`](crate::Invocations::admit).
    #[must_use]
    pub fn slots(&self, provider: Provider) -> Option<&Slots> {
        self.slots.get(&provider)
    }

    /// The patterns that somebody serves, ascending, with their providers.
    pub fn iter(&self) -> impl Iterator<Item = (&Pattern, &Candidates)> {
        self.providers.iter()
    }

    /// How many patterns somebody serves.
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
