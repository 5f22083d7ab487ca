//! Ways to break the example, each with the rule that it breaks.

use macula_testkit::history::{Did, Rule};

use super::sound::gap;
use super::world::{Deed, deed, delivered};

pub(super) struct Mutation {
    pub(super) name: &'static str,
    pub(super) rule: Rule,
    pub(super) change: fn(&mut Vec<Deed>),
}

const fn mutation(name: &'static str, rule: Rule, change: fn(&mut Vec<Deed>)) -> Mutation {
    Mutation { name, rule, change }
}

pub(super) fn all() -> Vec<Mutation> {
    [events(), reliable(), calls()]
        .into_iter()
        .flatten()
        .collect()
}

/// The place of the first record of `actor` that `is` so.
fn place(deeds: &[Deed], actor: &str, is: impl Fn(&Did<&'static str>) -> bool) -> usize {
    let mut places = deeds.iter().enumerate();
    places
        .find(|(_at, deed)| deed.actor == actor && is(&deed.did))
        .unwrap()
        .0
}

/// The place of the delivery of an event.
fn delivery(deeds: &[Deed], actor: &str, event: u64) -> usize {
    place(
        deeds,
        actor,
        |did| matches!(did, Did::Delivered { number, .. } if *number == event),
    )
}

fn receipt(deeds: &mut [Deed], event: u64, change: fn(&mut u64, &mut u64)) {
    let at = place(
        deeds,
        "w",
        |did| matches!(did, Did::Receipt { number, .. } if *number == event),
    );
    if let Did::Receipt { matched, acked, .. } = &mut deeds[at].did {
        change(matched, acked);
    }
}

fn swap(deeds: &mut [Deed], one: usize, other: usize) {
    let did = deeds[one].did;
    deeds[one].did = deeds[other].did;
    deeds[other].did = did;
}

fn remove(deeds: &mut Vec<Deed>, actor: &str, is: impl Fn(&Did<&'static str>) -> bool) {
    let at = place(deeds, actor, is);
    deeds.remove(at);
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn events() -> Vec<Mutation> {
    vec![
        mutation("a gap is not told", Rule::NotSilent, |deeds| {
            remove(deeds, "s2", |did| matches!(did, Did::Gap { .. }));
        }),
        mutation(
            "the last event is lost in silence",
            Rule::NotSilent,
            |deeds| {
                let at = delivery(deeds, "s1", 9);
                deeds.remove(at);
            },
        ),
        mutation(
            "the first event is lost in silence",
            Rule::NotSilent,
            |deeds| {
                let at = delivery(deeds, "s2", 0);
                deeds.remove(at);
            },
        ),
        mutation("nobody gets the last event", Rule::NotSilent, |deeds| {
            for actor in ["s1", "s2"] {
                let at = delivery(deeds, actor, 9);
                deeds.remove(at);
            }
        }),
        mutation(
            "a subscriber gets nothing at all",
            Rule::NotSilent,
            |deeds| {
                deeds.retain(|deed| {
                    deed.actor != "s2"
                        || !matches!(deed.did, Did::Delivered { .. } | Did::Gap { .. })
                });
            },
        ),
        mutation("a gap is too short", Rule::NotSilent, |deeds| {
            let at = place(deeds, "s2", |did| matches!(did, Did::Gap { .. }));
            deeds[at].did = gap(4, 6);
        }),
        mutation("a gap is too long", Rule::GapsFit, |deeds| {
            let at = place(deeds, "s2", |did| matches!(did, Did::Gap { .. }));
            deeds[at].did = gap(4, 8);
        }),
        mutation("a gap begins too late", Rule::GapsFit, |deeds| {
            let at = place(deeds, "s2", |did| matches!(did, Did::Gap { .. }));
            deeds[at].did = gap(5, 7);
        }),
        mutation("a gap has no length", Rule::GapsFit, |deeds| {
            let at = delivery(deeds, "s1", 5);
            deeds.insert(at, deed(deeds[at].at, "s1", gap(5, 5)));
        }),
        mutation(
            "a sequence counts an event that nobody published",
            Rule::Conserved,
            |deeds| {
                for actor in ["s1", "s2"] {
                    for event in 8..10 {
                        let at = delivery(deeds, actor, event);
                        deeds[at].did = delivered(1, ("n1", "w"), "a.b", event + 1, event);
                    }
                    let at = delivery(deeds, actor, 8);
                    deeds.insert(at, deed(deeds[at].at, actor, gap(8, 9)));
                }
            },
        ),
        mutation(
            "two know an event by different sequences",
            Rule::Conserved,
            |deeds| {
                let at = delivery(deeds, "s1", 9);
                deeds[at].did = delivered(1, ("n1", "w"), "a.b", 10, 9);
            },
        ),
        mutation("an event comes twice", Rule::Once, |deeds| {
            let at = delivery(deeds, "s1", 3);
            let again = deeds[at].clone();
            deeds.insert(at + 1, again);
        }),
        mutation(
            "an event comes twice under another sequence",
            Rule::Once,
            |deeds| {
                deeds.push(deed(9_000, "s1", delivered(1, ("n1", "w"), "a.b", 10, 3)));
            },
        ),
        mutation("an event comes twice, much later", Rule::Once, |deeds| {
            deeds.push(deed(9_000, "s1", delivered(1, ("n1", "w"), "a.b", 3, 3)));
        }),
        mutation("events are swapped", Rule::Ordered, |deeds| {
            let (one, other) = (delivery(deeds, "s1", 3), delivery(deeds, "s1", 4));
            swap(deeds, one, other);
        }),
        mutation(
            "an event of an earlier run comes late",
            Rule::Ordered,
            |deeds| {
                let mut late = delivered(1, ("n1", "w"), "a.b", 0, 9);
                if let Did::Delivered { epoch, .. } = &mut late {
                    *epoch = 0;
                }
                let at = delivery(deeds, "s1", 9);
                deeds[at].did = late;
            },
        ),
        mutation(
            "an event comes before subscribe has returned",
            Rule::SubscribedFirst,
            |deeds| {
                let at = place(deeds, "s1", |did| matches!(did, Did::Subscribed { .. }));
                deeds[at].at = 2_005;
                let late = deeds.remove(at);
                let at = delivery(deeds, "s1", 0);
                deeds.insert(at + 1, late);
            },
        ),
        mutation(
            "something comes that nobody published",
            Rule::Published,
            |deeds| {
                deeds.push(deed(9_000, "s1", delivered(1, ("n1", "w"), "a.b", 10, 99)));
            },
        ),
        mutation(
            "an event comes on another topic",
            Rule::Published,
            |deeds| {
                let at = delivery(deeds, "s1", 9);
                deeds[at].did = delivered(1, ("n1", "w"), "a.c", 0, 9);
            },
        ),
        mutation("numbers go back", Rule::Sound, |deeds| {
            let (topic, qos) = ("a.b", 0);
            let publish = Did::Publish {
                topic,
                number: 3,
                qos,
                wait_ms: None,
                receipt: false,
            };
            deeds.push(deed(9_000, "w", publish));
        }),
    ]
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn reliable() -> Vec<Mutation> {
    vec![
        mutation("an accepted event is lost", Rule::NotLost, |deeds| {
            let at = delivery(deeds, "s2", 17);
            deeds.remove(at);
        }),
        mutation(
            "an accepted event is lost to a group",
            Rule::NotLost,
            |deeds| {
                let at = delivery(deeds, "g1", 12);
                deeds.remove(at);
            },
        ),
        mutation(
            "more lack an event than the receipt says",
            Rule::NotLost,
            |deeds| {
                let at = place(deeds, "w", |did| {
                    matches!(did, Did::Receipt { number: 17, .. })
                });
                deeds[at].did = Did::Receipt {
                    number: 17,
                    matched: 2,
                    acked: 1,
                    expired: 1,
                    dropped: 0,
                };
                for actor in ["s1", "s2"] {
                    let at = delivery(deeds, actor, 17);
                    deeds.remove(at);
                }
            },
        ),
        mutation(
            "a receipt counts who did not get it",
            Rule::ReceiptTrue,
            |deeds| {
                let at = delivery(deeds, "s2", 17);
                deeds.remove(at);
            },
        ),
        mutation(
            "a receipt counts who got it later",
            Rule::ReceiptTrue,
            |deeds| {
                let at = delivery(deeds, "s2", 17);
                let mut late = deeds.remove(at);
                late.at += 1_500;
                deeds.push(late);
            },
        ),
        mutation(
            "a receipt counts one too many",
            Rule::ReceiptTrue,
            |deeds| {
                receipt(deeds, 17, |matched, acked| {
                    *matched += 1;
                    *acked += 1;
                });
            },
        ),
        mutation(
            "a receipt forgets a subscriber",
            Rule::ReceiptTrue,
            |deeds| {
                receipt(deeds, 17, |matched, acked| {
                    *matched -= 1;
                    *acked -= 1;
                });
            },
        ),
        mutation("a receipt does not add up", Rule::ReceiptTrue, |deeds| {
            receipt(deeds, 17, |_matched, acked| *acked -= 1);
        }),
        mutation("a receipt never comes", Rule::ReceiptComes, |deeds| {
            remove(deeds, "w", |did| {
                matches!(did, Did::Receipt { number: 17, .. })
            });
        }),
        mutation("what was refused is delivered", Rule::Published, |deeds| {
            deeds.push(deed(9_000, "s1", delivered(1, ("n1", "w"), "c.d", 4, 18)));
        }),
        mutation(
            "a publish is refused after its deadline",
            Rule::PublishEnds,
            |deeds| {
                let at = place(deeds, "w", |did| matches!(did, Did::Refused { .. }));
                deeds[at].at = 5_300;
            },
        ),
        mutation("a publish never returns", Rule::PublishEnds, |deeds| {
            remove(deeds, "w", |did| matches!(did, Did::Refused { .. }));
        }),
        mutation(
            "events of two topics are swapped",
            Rule::OrderedAcross,
            |deeds| {
                let (one, other) = (delivery(deeds, "s1", 15), delivery(deeds, "s1", 16));
                swap(deeds, one, other);
            },
        ),
        mutation("an event comes after its time", Rule::InTime, |deeds| {
            // Nobody waits for its receipt, which would have come too early.
            remove(deeds, "w", |did| {
                matches!(did, Did::Receipt { number: 17, .. })
            });
            let at = place(deeds, "w", |did| {
                matches!(did, Did::Publish { number: 17, .. })
            });
            if let Did::Publish { receipt, .. } = &mut deeds[at].did {
                *receipt = false;
            }
            let at = delivery(deeds, "s2", 17);
            let mut late = deeds.remove(at);
            late.at = 18_500;
            deeds.push(late);
        }),
        mutation("two of a group get an event", Rule::Once, |deeds| {
            let at = delivery(deeds, "g1", 12);
            let again = Deed {
                actor: "g2",
                ..deeds[at].clone()
            };
            deeds.insert(at + 1, again);
        }),
    ]
}

fn calls() -> Vec<Mutation> {
    vec![
        mutation("a call id runs twice", Rule::RunsOnce, |deeds| {
            let begun = Did::Begun {
                call: "id1",
                by: "c",
                number: 1,
            };
            deeds.push(deed(9_000, "p", begun));
        }),
        mutation("a call runs under two ids", Rule::RunsOnce, |deeds| {
            let begun = Did::Begun {
                call: "id9",
                by: "c",
                number: 1,
            };
            deeds.push(deed(9_000, "p", begun));
        }),
        mutation("a call never ends", Rule::CallEnds, |deeds| {
            remove(deeds, "c", |did| {
                matches!(did, Did::Answered { number: 3, .. })
            });
        }),
        mutation("a call ends late", Rule::CallEnds, |deeds| {
            let at = place(deeds, "c", |did| {
                matches!(did, Did::Answered { number: 3, .. })
            });
            let mut late = deeds.remove(at);
            late.at += 20_300;
            deeds.push(late);
        }),
        mutation("results are mixed up", Rule::OwnResult, |deeds| {
            let at = place(deeds, "c", |did| {
                matches!(did, Did::Answered { number: 3, .. })
            });
            deeds[at].did = Did::Answered {
                number: 3,
                by: "c",
                of: 2,
            };
        }),
        mutation("a result comes of nothing", Rule::OwnResult, |deeds| {
            remove(deeds, "p", |did| {
                matches!(did, Did::Begun { number: 3, .. })
            });
        }),
        mutation(
            "the death of a callee is told late",
            Rule::LossKnown,
            |deeds| {
                let at = place(deeds, "c", |did| {
                    matches!(did, Did::Failed { number: 5, .. })
                });
                deeds[at].at = 12_200;
            },
        ),
        mutation(
            "a callee hears late of a cancellation",
            Rule::CancelKnown,
            |deeds| {
                let at = place(deeds, "p", |did| matches!(did, Did::Stopped { .. }));
                deeds[at].at = 7_100;
            },
        ),
        mutation(
            "a callee never hears of a cancellation",
            Rule::CancelKnown,
            |deeds| {
                remove(deeds, "p", |did| matches!(did, Did::Stopped { .. }));
            },
        ),
    ]
}
