//! Leased announcements: the two sides agree, and a hostile speaker stays within bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use macula_wire::announce::{Announcer, Heard, HeardLimits};
use macula_wire::{Body, Instant, Kind, NodeId, Pattern, Random};

const SPEAKER: NodeId = NodeId::from_bytes([1; 32]);
const LISTENER: NodeId = NodeId::from_bytes([2; 32]);

/// Whatever is said and taken back, and however often the link is made anew, the listener ends with
/// what the speaker says.
///
/// Input: steps of one byte. The upper two bits are the step, the others the key.
pub fn told(data: &[u8]) {
    let limits = HeardLimits {
        max_members: 1,
        max_entries: 64,
        max_lease: Duration::from_secs(60),
    };
    let mut announcer = Announcer::new(Duration::from_secs(60), Random::new(7));
    let mut heard = Heard::new(limits);
    let mut said = BTreeMap::new();
    let mut changes = 0_u64;
    let mut up = false;
    let now = Instant::ZERO;
    for step in data.iter().take(512) {
        let key = step & 0x3f;
        match step >> 6 {
            0 => {
                changes += 1;
                announcer.set(key, changes);
                said.insert(key, changes);
            }
            1 => {
                announcer.unset(&key);
                said.remove(&key);
            }
            2 if up => {
                while let Some(part) = announcer.next_change(now) {
                    heard.hear(now, SPEAKER, part).expect("an honest change");
                }
                assert!(heard.of(&SPEAKER).eq(said.iter()));
            }
            2 => {}
            _ if up && key % 2 == 0 => {
                announcer.member_down(&LISTENER);
                up = false;
            }
            _ => {
                for part in announcer.member_up(now, LISTENER) {
                    heard.hear(now, SPEAKER, part).expect("an honest statement");
                }
                up = true;
            }
        }
        assert_eq!(announcer.len(), said.len());
    }
}

/// What a hostile member announces is refused, or kept within the limits; what is refused changes
/// nothing.
///
/// Input: bodies of INTEREST, each behind its length (1 byte) and its sender (1 byte).
pub fn hostile(data: &[u8]) {
    let limits = HeardLimits {
        max_members: 2,
        max_entries: 8,
        max_lease: Duration::from_secs(60),
    };
    let mut heard = Heard::<Pattern, ()>::new(limits);
    let mut now = Instant::ZERO;
    let mut rest = data;
    while let [length, sender, after @ ..] = rest {
        let (body, later) = after.split_at(usize::from(*length).min(after.len()));
        rest = later;
        now = now + Duration::from_secs(u64::from(sender >> 2));
        let sender = NodeId::from_bytes([sender & 3; 32]);
        let Some(Body::Interest(interest)) = super::frame::body(Kind::Interest, body) else {
            continue;
        };
        let before: Vec<Pattern> = heard.of(&sender).map(|(key, ())| key.clone()).collect();
        match heard.hear(now, sender, interest.into()) {
            Ok(changes) => {
                let expected = before.len() + changes.set.len() - changes.unset.len();
                assert_eq!(heard.of(&sender).count(), expected);
            }
            Err(_offence) => assert!(heard.of(&sender).map(|(key, ())| key).eq(&before)),
        }
        assert!(heard.members().count() <= limits.max_members);
        assert!(heard.of(&sender).count() <= limits.max_entries);
        while let Some((member, keys)) = heard.expire(now) {
            assert!(keys.len() <= limits.max_entries);
            assert_eq!(heard.of(&member).count(), 0);
        }
        assert!(heard.next_end().is_none_or(|end| end > now));
    }
}
