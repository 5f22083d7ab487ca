//! Positions, keys and the distance between them (Kademlia, section 2.1).

use macula_wire::message::{RecordContent, RecordKind};
use macula_wire::{Key, NodeId, Pattern, PatternSegment, RealmName, RecordId, signed};
use sha2::{Digest, Sha256};

/// How far two keys are apart: their exclusive or, as a number.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Distance(u128, u128);

/// A key as two numbers, as which it is compared fastest.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place(u128, u128);

impl Place {
    /// The place of the key of zeros, at which no node stands.
    pub(crate) const ZERO: Self = Self(0, 0);

    /// The place of a key.
    pub(crate) fn of(key: &Key) -> Self {
        let half = |bytes: Option<&[u8; 16]>| bytes.map_or(0, |half| u128::from_be_bytes(*half));
        let bytes = key.as_bytes();
        Self(half(bytes.first_chunk()), half(bytes.last_chunk()))
    }

    /// Where a node stands.
    pub(crate) fn of_node(node: &NodeId) -> Self {
        Self::of(&position(node))
    }

    /// How far it is to another place.
    pub(crate) const fn to(self, other: Self) -> Distance {
        Distance(self.0 ^ other.0, self.1 ^ other.1)
    }

    /// The only place that is so far away.
    pub(crate) const fn at(self, distance: Distance) -> Self {
        Self(self.0 ^ distance.0, self.1 ^ distance.1)
    }

    /// Bit `index`, counted from the most significant; those beyond 255 are 0.
    pub(crate) const fn bit(self, index: usize) -> bool {
        let (half, shift) = if index < 128 {
            (self.0, index)
        } else {
            (self.1, index.saturating_sub(128))
        };
        shift < 128 && half << shift >> 127 == 1
    }
}

impl Distance {
    /// The longest.
    pub(crate) const MAX: Self = Self(u128::MAX, u128::MAX);

    /// The distance between two keys.
    #[must_use]
    pub fn between(one: &Key, other: &Key) -> Self {
        Place::of(one).to(Place::of(other))
    }

    /// The same with bit `index` set, counted from the most significant; those beyond 255 do not exist.
    pub(crate) const fn with_bit(self, index: usize) -> Self {
        const TOP: u128 = 1 << 127;
        if index < 128 {
            Self(self.0 | TOP >> index, self.1)
        } else if index < 256 {
            Self(self.0, self.1 | TOP >> index.saturating_sub(128))
        } else {
            self
        }
    }

    /// Bit `index`, counted from the most significant; those beyond 255 are 0.
    pub(crate) const fn bit(self, index: usize) -> bool {
        Place(self.0, self.1).bit(index)
    }

    /// The shortest of those that are equal to this one before bit `index` and differ from it there.
    pub(crate) const fn flipped_at(self, index: usize) -> Self {
        let before = if index < 128 {
            Self(self.0 & !tail(index), 0)
        } else {
            Self(self.0, self.1 & !tail(index.saturating_sub(128)))
        };
        if self.bit(index) {
            before
        } else {
            before.with_bit(index)
        }
    }

    /// How many leading bits the two keys share; 256 if they are equal.
    #[must_use]
    pub const fn shared_bits(self) -> u32 {
        if self.0 == 0 {
            self.1.leading_zeros().saturating_add(128)
        } else {
            self.0.leading_zeros()
        }
    }

    /// The distance as a part of the key space, from 0 to 1.
    pub(crate) fn part(self) -> f64 {
        let head = u64::try_from(self.0 >> 64).unwrap_or(u64::MAX);
        let words = [head >> 32, head & 0xffff_ffff];
        let [high, low] = words.map(|word| f64::from(u32::try_from(word).unwrap_or(u32::MAX)));
        (high + low / 4_294_967_296.0) / 4_294_967_296.0
    }
}

/// All bits of a half from bit `index` on, counted from the most significant.
const fn tail(index: usize) -> u128 {
    if index < 128 { u128::MAX >> index } else { 0 }
}

/// Sets bit `index` of a key.
pub(crate) fn set_bit(key: &mut Key, index: usize, value: bool) {
    let mut bytes = *key.as_bytes();
    if let Some(byte) = bytes.get_mut(index / 8) {
        let mask = 0x80_u8 >> (index % 8);
        *byte = if value { *byte | mask } else { *byte & !mask };
    }
    *key = Key::from_bytes(bytes);
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Where a node stands: the SHA-256 of its id.
#[must_use]
pub fn position(node: &NodeId) -> Key {
    Key::from_bytes(hash(signed::position_bytes(node)))
}

/// Where records of a kind and a name are kept in a realm. For interest the name is that of [`interest_name`], for
/// providers the [stem](Pattern::stem) of what they serve.
#[must_use]
pub fn key(realm: &RealmName, kind: RecordKind, name: &str) -> Key {
    Key::from_bytes(hash(&signed::key_bytes(realm, kind, name)))
}

/// Under what name interest in a pattern is kept: its first segment, or `*` if that is a wildcard.
#[must_use]
pub fn interest_name(pattern: &Pattern) -> &str {
    match pattern.segments().next() {
        Some(PatternSegment::Literal(first)) => first,
        _ => "*",
    }
}

/// Where a record is kept.
#[must_use]
pub fn key_of(realm: &RealmName, owner: &NodeId, content: &RecordContent) -> Key {
    if let RecordContent::Interest(interest) = content {
        return key(
            realm,
            RecordKind::Interest,
            interest_name(&interest.pattern),
        );
    }
    if let RecordContent::Provider(provider) = content {
        return key(
            realm,
            RecordKind::Provider,
            provider.pattern.stem().as_str(),
        );
    }
    let kind = content.kind();
    if kind == RecordKind::Node {
        return position(owner);
    }
    key(realm, kind, content.name())
}

/// The id of a record.
#[must_use]
pub fn record_id(owner: &NodeId, content: &RecordContent) -> RecordId {
    let hash = hash(&signed::record_id_bytes(owner, content));
    RecordId::from_bytes(hash.first_chunk().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;
    use macula_wire::{Pattern, Random};

    use super::*;

    fn any(random: &mut Random) -> Key {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        Key::from_bytes(bytes)
    }

    #[test]
    fn the_distance_is_a_metric_of_one_direction() {
        let mut random = Random::new(1);
        for _ in 0..500 {
            let (a, b, c) = (any(&mut random), any(&mut random), any(&mut random));
            let d = Distance::between;
            assert_eq!(d(&a, &a), Distance::default());
            assert_eq!(d(&a, &b), d(&b, &a));
            assert!(d(&a, &b) > Distance::default());
            let (ab, bc, ac) = (d(&a, &b), d(&b, &c), d(&a, &c));
            assert_eq!(Distance(ab.0 ^ bc.0, ab.1 ^ bc.1), ac);
            let bit = |key: &Key, index: usize| Place::of(key).bit(index);
            let shared = (0..256).take_while(|i| bit(&a, *i) == bit(&b, *i)).count();
            assert_eq!(d(&a, &b).shared_bits(), u32::try_from(shared).unwrap());
        }
        let one = any(&mut random);
        assert_eq!(Distance::between(&one, &one).shared_bits(), 256);
    }

    #[test]
    fn what_differs_first_in_a_bit_is_so_far_at_least() {
        let all = Distance::MAX;
        for index in [0, 1, 127, 128, 200, 255] {
            let flipped = all.flipped_at(index);
            assert_eq!(Distance::default().flipped_at(index).with_bit(index), {
                Distance::default().with_bit(index)
            });
            assert!((0..256).all(|bit| flipped.bit(bit) == (bit < index)));
        }
    }

    #[test]
    fn parts_of_the_key_space() {
        let at = |first| {
            let mut bytes = [0; 32];
            bytes[0] = first;
            Distance::between(&Key::default(), &Key::from_bytes(bytes)).part()
        };
        assert!((at(0x80) - 0.5).abs() < 1e-9);
        assert!((at(0x60) - 0.375).abs() < 1e-9);
        assert!(at(0) < 1e-12);
    }

    #[test]
    fn interest_is_kept_under_the_first_segment() {
        for (pattern, name) in [("home.*.power", "home"), ("*.power", "*"), ("**", "*")] {
            assert_eq!(interest_name(&Pattern::new(pattern).unwrap()), name);
        }
    }

    #[test]
    fn keys_differ_by_realm_kind_and_name() {
        let realm = |name| RealmName::new(name).unwrap();
        let keys = [
            key(&realm("be.acme"), RecordKind::Value, "a"),
            key(&realm("be.acme"), RecordKind::Value, "b"),
            key(&realm("be.acme"), RecordKind::Provider, "a"),
            key(&realm("be.acma"), RecordKind::Value, "a"),
            position(&node_id(1)),
        ];
        for (index, one) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(one));
        }
    }
}
