//! IHAVE to PRUNE.

use macula_wire::message::{Graft, Holding, IHave, Prune};
use macula_wire::{Body, Epoch, Sequence};
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;

use super::{node, topic, wide};

pub(super) fn bodies() -> BoxedStrategy<Body> {
    prop_oneof![
        have().prop_map(Body::from),
        graft().prop_map(Body::from),
        (topic(), node()).prop_map(|(topic, publisher)| Prune { topic, publisher }.into()),
    ]
    .boxed()
}

fn have() -> impl Strategy<Value = IHave> {
    let held = (wide(), wide(), wide(), any::<u8>());
    let held = prop::collection::btree_map(node(), held, 1..5);
    (topic(), held).prop_map(|(topic, held)| IHave {
        topic,
        holdings: held
            .into_iter()
            .map(|(publisher, (epoch, one, other, distance))| Holding {
                publisher,
                epoch: Epoch::new(epoch),
                first: Sequence::new(one.min(other)),
                next: Sequence::new(one.max(other)),
                distance,
            })
            .collect(),
    })
}

fn graft() -> impl Strategy<Value = Graft> {
    let range = (wide(), wide(), any::<bool>());
    (topic(), node(), wide(), range).prop_map(|(topic, publisher, epoch, (one, other, attach))| {
        Graft {
            topic,
            publisher,
            epoch: Epoch::new(epoch),
            from: Sequence::new(one.min(other)),
            to: Sequence::new(one.max(other)),
            attach,
        }
    })
}
