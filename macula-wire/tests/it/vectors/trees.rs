//! Samples of trees.

use macula_wire::message::{Graft, Holding, IHave, Prune};
use macula_wire::{Sequence, Topic};

use super::session::{EPOCH, node};
use super::{Sample, sample};

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

pub(super) fn samples() -> Vec<Sample> {
    let held = |publisher, first, next, distance| Holding {
        publisher: node(publisher),
        epoch: EPOCH,
        first: Sequence::new(first),
        next: Sequence::new(next),
        distance,
    };
    let have = |holdings| IHave {
        topic: topic("weather.seattle.temperature"),
        holdings,
    };
    let graft = |from, to, attach| Graft {
        topic: topic("weather.seattle.temperature"),
        publisher: node(1),
        epoch: EPOCH,
        from: Sequence::new(from),
        to: Sequence::new(to),
        attach,
    };
    let prune = Prune {
        topic: topic("weather.seattle.temperature"),
        publisher: node(1),
    };
    vec![
        sample("ihave of one publisher", have(vec![held(1, 0, 4_185, 3)])),
        sample(
            "ihave of two publishers, one without anything left",
            have(vec![held(1, 4_000, 4_185, 0), held(0x40, 7, 7, 255)]),
        ),
        sample("graft of a hole", graft(4_180, 4_183, false)),
        sample("graft to be sent what follows", graft(4_185, 4_185, true)),
        sample("prune", prune),
    ]
}
