//! Histories as lists of deeds.

use macula_testkit::history::{Did, History};

/// One record with its names as texts.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    /// Milliseconds.
    pub(super) at: u64,
    pub(super) actor: &'static str,
    pub(super) did: Did<&'static str>,
}

pub(super) const fn deed(at: u64, actor: &'static str, did: Did<&'static str>) -> Deed {
    Deed { at, actor, did }
}

/// The history of deeds, each actor's by time.
pub(super) fn history(deeds: &[Deed]) -> History {
    let mut history = History::new();
    let mut sorted: Vec<&Deed> = deeds.iter().collect();
    sorted.sort_by_key(|deed| deed.at);
    for Deed { at, actor, did } in sorted {
        history.push_text(at * 1_000, actor, *did);
    }
    history
}

/// Events of a writer at a node in its first run.
pub(super) fn delivered(
    subscription: u32,
    (publisher, by): (&'static str, &'static str),
    topic: &'static str,
    sequence: u64,
    number: u64,
) -> Did<&'static str> {
    Did::Delivered {
        subscription,
        publisher,
        epoch: 1,
        topic,
        sequence,
        by,
        number,
        again: false,
    }
}
