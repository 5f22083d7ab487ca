//! What the application hears of members, made of what membership says of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use macula_wire::message::{MemberRecord, SignedRecord};
use macula_wire::{Epoch, NodeId};

/// How many of the dead are remembered; beyond it, one that comes back is as good as new.
const MAX_DEAD: usize = 4_096;

/// What happens to a member, as the application hears of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum MemberEvent {
    /// A member joined, came back, or turned out to be alive after it was suspected.
    Up(Arc<SignedRecord>),
    /// A member does not answer; it may yet turn out to be alive.
    Suspect(NodeId),
    /// A member is taken for dead.
    Down(NodeId),
    /// A member has left on purpose.
    Left(NodeId),
    /// A member has other tags now; the record has all of them. This node's own are told as well.
    Tags(Arc<SignedRecord>),
    /// A member said something else of itself that is new: its addresses, or its program.
    Changed(Arc<SignedRecord>),
}

impl MemberEvent {
    /// The member that it happened to.
    #[must_use]
    pub fn node(&self) -> NodeId {
        match self {
            Self::Up(record) | Self::Tags(record) | Self::Changed(record) => record.record.node,
            Self::Suspect(node) | Self::Down(node) | Self::Left(node) => *node,
        }
    }

    /// The word for it in output for programs: `up`, `suspect`, `down`, `left`, `tags` or `changed`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Up(_) => "up",
            Self::Suspect(_) => "suspect",
            Self::Down(_) => "down",
            Self::Left(_) => "left",
            Self::Tags(_) => "tags",
            Self::Changed(_) => "changed",
        }
    }
}

/// What the application was told of a member that is present.
#[derive(Debug)]
struct Told {
    record: Arc<SignedRecord>,
    suspect: bool,
}

/// What the application was told of the members that are present, so that it hears of what is new only.
///
/// It holds as many as membership does; records are shared with it.
#[derive(Debug, Default)]
pub(super) struct Audience {
    told: BTreeMap<NodeId, Told>,
    /// The runs that were told to be dead last, so that one that was only cut off is known when it is back.
    dead: BTreeMap<NodeId, Epoch>,
    /// The same in the order in which they died.
    deaths: VecDeque<NodeId>,
    /// How many suspicions ended well.
    pub(super) cleared: u64,
}

impl Audience {
    pub(super) fn up(&mut self, record: Arc<SignedRecord>) -> MemberEvent {
        let told = Told {
            record: Arc::clone(&record),
            suspect: false,
        };
        self.told.insert(record.record.node, told);
        self.revive(&record.record.node);
        MemberEvent::Up(record)
    }

    pub(super) fn suspect(&mut self, node: NodeId) -> MemberEvent {
        if let Some(told) = self.told.get_mut(&node) {
            told.suspect = true;
        }
        MemberEvent::Suspect(node)
    }

    /// Whether the run of a record was told to be dead.
    pub(super) fn was_dead(&self, record: &SignedRecord) -> bool {
        self.dead.get(&record.record.node) == Some(&record.record.epoch)
    }

    pub(super) fn down(&mut self, node: NodeId, epoch: Epoch) -> MemberEvent {
        self.told.remove(&node);
        self.revive(&node);
        self.dead.insert(node, epoch);
        self.deaths.push_back(node);
        if self.deaths.len() > MAX_DEAD
            && let Some(first) = self.deaths.pop_front()
        {
            self.dead.remove(&first);
        }
        MemberEvent::Down(node)
    }

    fn revive(&mut self, node: &NodeId) {
        if self.dead.remove(node).is_some() {
            self.deaths.retain(|dead| dead != node);
        }
    }

    pub(super) fn left(&mut self, node: NodeId) -> MemberEvent {
        self.told.remove(&node);
        MemberEvent::Left(node)
    }

    /// What is new with a record, which may be nothing but its number.
    pub(super) fn changed(&mut self, record: &Arc<SignedRecord>) -> Vec<MemberEvent> {
        let told = Told {
            record: Arc::clone(record),
            suspect: false,
        };
        let Some(before) = self.told.insert(record.record.node, told) else {
            return vec![MemberEvent::Up(Arc::clone(record))];
        };
        let mut events = Vec::new();
        if before.suspect {
            self.cleared = self.cleared.saturating_add(1);
            events.push(MemberEvent::Up(Arc::clone(record)));
        }
        let (old, new) = (&before.record.record, &record.record);
        if old.tags != new.tags {
            events.push(MemberEvent::Tags(Arc::clone(record)));
        }
        if !says_the_same(old, new) {
            events.push(MemberEvent::Changed(Arc::clone(record)));
        }
        events
    }
}

/// Whether two records of one run differ in nothing but version and tags.
fn says_the_same(one: &MemberRecord, other: &MemberRecord) -> bool {
    one.addresses == other.addresses
        && one.roles == other.roles
        && one.zone == other.zone
        && one.agent == other.agent
}

#[cfg(test)]
mod tests {
    use macula_wire::message::{MemberStatus, Roles, Tag};
    use macula_wire::{Incarnation, Signature};

    use super::*;

    fn record(incarnation: u64) -> MemberRecord {
        MemberRecord {
            node: NodeId::from_bytes([7; 32]),
            epoch: Epoch::new(1),
            incarnation: Incarnation::new(incarnation),
            status: MemberStatus::Alive,
            addresses: vec!["127.0.0.1:4433".parse().unwrap()],
            roles: Roles::MEMBER,
            zone: None,
            agent: "test".into(),
            tags: Vec::new(),
        }
    }

    fn signed(record: MemberRecord) -> Arc<SignedRecord> {
        Arc::new(SignedRecord {
            record,
            signature: Signature::from_bytes([0; 64]),
        })
    }

    fn names(events: &[MemberEvent]) -> Vec<&'static str> {
        events.iter().map(MemberEvent::name).collect()
    }

    #[test]
    fn each_change_is_told_by_its_own_name() {
        let mut audience = Audience::default();
        assert_eq!(audience.up(signed(record(0))).name(), "up");
        assert!(names(&audience.changed(&signed(record(1)))).is_empty());
        let mut tagged = record(2);
        tagged.tags.push(Tag {
            key: "site".into(),
            value: "a".into(),
        });
        assert_eq!(names(&audience.changed(&signed(tagged.clone()))), ["tags"]);
        assert!(audience.changed(&signed(tagged.clone())).is_empty());
        tagged.addresses.clear();
        assert_eq!(
            names(&audience.changed(&signed(tagged.clone()))),
            ["changed"]
        );
        audience.suspect(tagged.node);
        tagged.tags.clear();
        assert_eq!(
            names(&audience.changed(&signed(tagged.clone()))),
            ["up", "tags"]
        );
        audience.down(tagged.node, Epoch::new(1));
        assert!(audience.was_dead(&signed(tagged.clone())));
        assert_eq!(names(&audience.changed(&signed(tagged))), ["up"]);
    }

    #[test]
    fn those_that_died_last_are_remembered() {
        let mut audience = Audience::default();
        let node = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&(usize::MAX - number).to_be_bytes());
            NodeId::from_bytes(bytes)
        };
        let was_dead = |audience: &Audience, number| {
            let mut record = record(0);
            record.node = node(number);
            audience.was_dead(&signed(record))
        };
        audience.down(node(0), Epoch::new(1));
        audience.up(signed(MemberRecord {
            node: node(0),
            ..record(1)
        }));
        for number in 0..=MAX_DEAD {
            audience.down(node(number), Epoch::new(1));
        }
        assert_eq!(audience.dead.len(), audience.deaths.len());
        let known = [0, 1, MAX_DEAD].map(|number| was_dead(&audience, number));
        assert_eq!(known, [false, true, true]);
    }
}
