//! Groups: each event goes to one of the subscriptions that share them.

use std::collections::BTreeMap;

use super::index::Index;
use super::{Did, History, Name, Rule, Violation};

/// A subscription of the index, and a delivery to it.
type Taken = (usize, usize);

/// One of a group gets an event, unless it is said to be handed out again, or its first receiver was killed.
pub(super) fn check(history: &History, index: &Index) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut taken: BTreeMap<(Name, Name, u64), Taken> = BTreeMap::new();
    for (number, session) in index.sessions.iter().enumerate() {
        let Some(group) = session.group else {
            continue;
        };
        for place in &session.items {
            let did = history.records().get(*place).map(|record| record.did);
            let Some(Did::Delivered {
                by, number: event, ..
            }) = did
            else {
                continue;
            };
            let this = (number, *place);
            let earlier = taken.insert((group, by, event), this);
            if let Some(earlier) = earlier.filter(|(other, _place)| *other != number) {
                found.extend(taken_twice(history, index, event, [earlier, this]));
            }
        }
    }
    found
}

fn taken_twice(
    history: &History,
    index: &Index,
    number: u64,
    taken: [Taken; 2],
) -> Option<Violation> {
    let mut excerpt = Vec::new();
    for (session, place) in taken {
        let session = index.sessions.get(session)?;
        if session.was_killed || said_again(history, place) {
            return None;
        }
        excerpt.extend(session.described.into_iter().chain([place]));
    }
    let detail = format!("#{number} is handed to two of a group");
    Some(Violation::new(Rule::Once, detail, excerpt))
}

fn said_again(history: &History, place: usize) -> bool {
    let did = history.records().get(place).map(|record| record.did);
    matches!(did, Some(Did::Delivered { again: true, .. }))
}
