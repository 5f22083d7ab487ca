//! Membership in a simulated network: whether, and when.

use std::time::Duration;

use macula_swim::{Offence, Output, State};
use macula_testkit::{Chance, Class, Conditions, Config, NodeIndex, each_seed, node_id};
use macula_wire::Incarnation;
use macula_wire::message::{SignedRecord, SwimGossip, Update};

use crate::bench::{dead, suspect};
use crate::realm::{Mesh, add, all_believe, is_meshed, knows_all, mesh, restart, state};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn deaths(net: &Mesh) -> usize {
    let down = |_, output: &Output| matches!(output, Output::Down { .. });
    net.host().count(down)
}

/// Loses a tenth of all packets, and delays the rest by up to 100 ms.
fn rough() -> Config {
    let mut config = Config::default();
    config.conditions = Conditions::lossy(Chance::percent(10));
    config.conditions.max_delay = Duration::from_millis(100);
    config.conditions.duplication = Chance::percent(2);
    config.conditions.reorder = Chance::percent(5);
    config
}

#[test]
fn equal_seeds_give_equal_traces() {
    let run = |seed| {
        let mut net = mesh(rough(), seed, 5);
        net.kill(NodeIndex::new(4));
        net.run_for(seconds(20)).unwrap();
        (net.trace_hash(), *net.counters())
    };
    assert_eq!(run(1), run(1));
    assert_eq!(run(2), run(2));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn a_newcomer_is_known_to_all_within_five_seconds() {
    each_seed(|seed| {
        let mut net = mesh(Config::default(), seed, 9);
        let newcomer = add(&mut net, Some(NodeIndex::new(3)));
        net.wait(seconds(5), "the newcomer is known", knows_all)
            .unwrap();
        net.wait(seconds(12), "and linked to all", is_meshed)
            .unwrap();
        let via = node_id(3);
        let joined = |node, output: &Output| {
            node == newcomer && matches!(output, Output::Joined { via: by } if *by == via)
        };
        assert_eq!(net.host().count(joined), 1);
        assert_eq!(deaths(&net), 0);
    });
}

#[test]
fn a_crash_is_seen_by_all_within_ten_seconds() {
    for count in [2, 3, 5, 16] {
        each_seed(|seed| {
            let mut net = mesh(Config::default(), seed, count);
            net.run_for(seconds(5)).unwrap();
            let victim = NodeIndex::new(count - 1);
            net.kill(victim);
            net.wait(seconds(10), "the victim is dead for all", |net| {
                all_believe(net, victim, State::Dead)
            })
            .unwrap();
            let dead = node_id(victim.get());
            let others =
                |_, output: &Output| matches!(output, Output::Down { node, .. } if *node != dead);
            assert_eq!(net.host().count(others), 0, "nobody else");
        });
    }
}

#[test]
fn two_crashes_at_once_are_seen_under_loss() {
    each_seed(|seed| {
        let mut net = mesh(rough(), seed, 8);
        net.kill(NodeIndex::new(2));
        net.kill(NodeIndex::new(5));
        net.wait(seconds(15), "both are dead for all", |net| {
            all_believe(net, NodeIndex::new(2), State::Dead)
                && all_believe(net, NodeIndex::new(5), State::Dead)
        })
        .unwrap();
        assert_eq!(deaths(&net), 12, "six nodes see two deaths");
        assert!(net.counters().datagrams_lost > 0);
    });
}

fn nobody_dies_of_loss(count: usize, seed: u64) {
    let mut net = mesh(rough(), seed, count);
    net.run_for(seconds(600)).unwrap();
    assert_eq!(deaths(&net), 0, "{:?}", net.host().log);
    let stats = net.machine(NodeIndex::new(0)).unwrap().stats();
    assert!(stats.probes > 500, "{stats:?}");
    assert!(net.counters().datagrams_lost > 500);
    net.set_default_conditions(Conditions::default());
    net.wait(seconds(10), "no suspicion is left", knows_all)
        .unwrap();
}

#[test]
fn nobody_dies_of_loss_among_five() {
    each_seed(|seed| nobody_dies_of_loss(5, seed));
}

#[test]
fn nobody_dies_of_loss_among_sixteen() {
    for seed in macula_testkit::seeds().take(5) {
        nobody_dies_of_loss(16, seed);
    }
}

#[test]
fn a_pause_of_three_seconds_kills_nobody() {
    each_seed(|seed| {
        let mut net = mesh(Config::default(), seed, 7);
        let sleeper = NodeIndex::new(2);
        for _ in 0..3 {
            net.pause(sleeper);
            net.run_for(seconds(3)).unwrap();
            net.resume(sleeper);
            net.wait(seconds(10), "all is well again", knows_all)
                .unwrap();
        }
        assert_eq!(deaths(&net), 0, "{:?}", net.host().log);
        assert!(net.machine(sleeper).unwrap().stats().stalls > 0);
    });
}

#[test]
fn a_long_pause_is_death_and_the_paused_one_accuses_nobody() {
    each_seed(|seed| {
        let mut net = mesh(Config::default(), seed, 5);
        let sleeper = NodeIndex::new(1);
        net.pause(sleeper);
        net.run_for(seconds(29)).unwrap();
        assert!(all_believe(&net, sleeper, State::Dead));
        net.resume(sleeper);
        net.wait(seconds(10), "it is back", knows_all).unwrap();
        let by_sleeper = |node, output: &Output| {
            node == sleeper && matches!(output, Output::Down { .. } | Output::Suspect { .. })
        };
        assert_eq!(net.host().count(by_sleeper), 0);
    });
}

#[test]
fn who_leaves_is_gone_for_all_within_three_seconds() {
    each_seed(|seed| {
        let mut net = mesh(rough(), seed, 9);
        let leaver = NodeIndex::new(4);
        net.with(leaver, |swim, now| swim.leave(now));
        net.wait(seconds(3), "it has left for all", |net| {
            all_believe(net, leaver, State::Left)
        })
        .unwrap();
        net.stop(leaver);
        net.run_for(seconds(20)).unwrap();
        assert!(all_believe(&net, leaver, State::Left));
        assert_eq!(deaths(&net), 0, "leaving is no death");
        restart(&mut net, leaver, NodeIndex::new(0));
        net.wait(seconds(5), "and it may come back", knows_all)
            .unwrap();
    });
}

#[test]
fn a_restarted_node_is_a_member_again_within_five_seconds() {
    each_seed(|seed| {
        for pause in [0, 2, 30] {
            let mut net = mesh(Config::default(), seed, 6);
            let node = NodeIndex::new(5);
            let before = net.machine(node).unwrap().own_record().record.epoch;
            net.kill(node);
            net.run_for(seconds(pause)).unwrap();
            restart(&mut net, node, NodeIndex::new(1));
            let epoch = net.machine(node).unwrap().own_record().record.epoch;
            assert!(epoch > before);
            net.wait(seconds(5), "all know the new run", |net| {
                let id = node_id(node.get());
                knows_all(net)
                    && net.running().all(|other| {
                        let member = net.machine(other).unwrap().member(&id).unwrap();
                        member.record().epoch == epoch
                    })
            })
            .unwrap();
            let down = |_, output: &Output| matches!(output, Output::Down { epoch, .. } if *epoch == before);
            assert_eq!(net.host().count(down), 5, "each has seen the old run end");
        }
    });
}

#[test]
fn a_partition_heals() {
    each_seed(|seed| {
        for length in [10, 60, 300] {
            let mut net = mesh(Config::default(), seed, 5);
            net.partition(&[NodeIndex::new(0), NodeIndex::new(1)]);
            net.run_for(seconds(length)).unwrap();
            assert_eq!(
                state(&net, NodeIndex::new(0), NodeIndex::new(3)),
                Some(State::Dead)
            );
            assert_eq!(
                state(&net, NodeIndex::new(3), NodeIndex::new(0)),
                Some(State::Dead)
            );
            assert_eq!(
                state(&net, NodeIndex::new(3), NodeIndex::new(4)),
                Some(State::Alive)
            );
            net.heal();
            net.wait(seconds(30), "one view again", knows_all).unwrap();
            net.wait(seconds(30), "and every link", is_meshed).unwrap();
        }
    });
}

#[test]
fn a_way_that_is_cut_between_two_kills_nobody() {
    each_seed(|seed| {
        let mut net = mesh(Config::default(), seed, 5);
        net.block(NodeIndex::new(1), NodeIndex::new(2));
        net.run_for(seconds(20)).unwrap();
        net.block(NodeIndex::new(2), NodeIndex::new(1));
        net.run_for(seconds(100)).unwrap();
        assert!(!net.is_linked(NodeIndex::new(1), NodeIndex::new(2)));
        assert_eq!(deaths(&net), 0, "{:?}", net.host().log);
        let indirect = net.machine(NodeIndex::new(1)).unwrap().stats();
        assert!(indirect.probes_indirect > 0, "{indirect:?}");
    });
}

#[test]
fn the_realm_goes_on_without_its_seed() {
    each_seed(|seed| {
        let mut net = mesh(Config::default(), seed, 5);
        let first = NodeIndex::new(0);
        net.kill(first);
        net.wait(seconds(10), "the seed is dead for all", |net| {
            all_believe(net, first, State::Dead)
        })
        .unwrap();
        add(&mut net, Some(NodeIndex::new(3)));
        net.wait(seconds(5), "a newcomer joins through another", knows_all)
            .unwrap();
        net.kill(NodeIndex::new(4));
        net.wait(seconds(10), "and a crash is still seen", |net| {
            all_believe(net, NodeIndex::new(4), State::Dead)
        })
        .unwrap();
    });
}

#[test]
fn a_liar_in_the_realm_kills_nobody_and_hides_no_death() {
    let liar = NodeIndex::new(4);
    let victim = NodeIndex::new(1);
    for seed in macula_testkit::seeds().take(10) {
        let mut net = mesh(Config::default(), seed, 6);
        net.host_mut().expected = vec![
            Offence::TooManyAccusations,
            Offence::IncarnationJump,
            Offence::BadSignature,
        ];
        for round in 0..2_000_u64 {
            let known = net.machine(victim).unwrap().own_record();
            let mut claimed = SignedRecord::clone(known);
            let here = claimed.record.incarnation.get();
            let far = [here, here, here + 1, here + 1_000, 1 << 63, u64::MAX];
            let at = usize::try_from(round).unwrap() % far.len();
            claimed.record.incarnation = Incarnation::new(far[at]);
            // Besides the accusations, a record of the victim that the liar has signed itself.
            let updates = vec![
                dead(&claimed, liar.get()),
                suspect(&claimed, liar.get()),
                Update::Record(claimed.into()),
            ];
            let honest = round % 4 != 0;
            let updates = updates
                .into_iter()
                .take(if honest { 2 } else { 3 })
                .collect();
            let body = SwimGossip { updates };
            for to in net.nodes().filter(|to| *to != liar) {
                net.inject(liar, to, Class::Reliable, body.clone());
            }
            net.run_for(Duration::from_millis(10)).unwrap();
        }
        assert_eq!(deaths(&net), 0, "{:?}", net.host().log.last());
        let refuted = net.machine(victim).unwrap().stats().refutations;
        assert!(refuted > 10, "{refuted}: the lies were heard");
        net.wait(seconds(10), "the victim is believed", knows_all)
            .unwrap();
        net.kill(victim);
        net.wait(seconds(10), "it can still die", |net| {
            all_believe(net, victim, State::Dead)
        })
        .unwrap();
        restart(&mut net, victim, NodeIndex::new(0));
        net.wait(seconds(5), "and come back", knows_all).unwrap();
    }
}

#[test]
fn a_larger_realm_holds_together_as_well() {
    let mut net = mesh(rough(), 1, 64);
    net.run_for(seconds(60)).unwrap();
    assert_eq!(deaths(&net), 0);
    let victim = NodeIndex::new(17);
    net.kill(victim);
    let took = net.wait(seconds(20), "the victim is dead for all", |net| {
        all_believe(net, victim, State::Dead)
    });
    assert!(took.unwrap() > seconds(3));
    assert_eq!(deaths(&net), 63);
}

#[test]
fn an_idle_realm_is_quiet() {
    let mut net = mesh(Config::default(), 1, 16);
    net.run_for(seconds(60)).unwrap();
    let before = *net.counters();
    net.run_for(seconds(60)).unwrap();
    let after = net.counters();
    let bytes =
        after.datagram_bytes - before.datagram_bytes + after.message_bytes - before.message_bytes;
    let rate = bytes / 60 / 16;
    assert!(rate < 512, "{rate} bytes a second and node");
    let datagrams = (after.datagrams_sent - before.datagrams_sent) / 60 / 16;
    assert!(datagrams >= 1, "somebody is probed");
}
