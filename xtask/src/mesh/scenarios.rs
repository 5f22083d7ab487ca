//! What `test-mesh` can play.

use super::counts::Counts;
use super::world::World;
use super::{
    crowd, disorder, frozen, kill_one, kill_third, lossy, one_way, overlapping, pauses, promises,
    quickstart, reach, restart, rolling, seeds_gone, slow_reader, wrong_realm,
};
use crate::failure::Failure;

/// A story that processes have to play out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) network: Network,
    /// Whether applications of their own take part.
    pub(super) has_players: bool,
    pub(super) run: fn(&World) -> Result<Counts, Failure>,
}

/// What a scenario asks of the network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Network {
    /// Loopback, with nothing in between.
    Plain,
    /// Something that can lose packets.
    Lossy,
    /// Something that can also delay, double and reorder them.
    Unruly,
}

/// All of them, in the order in which they run.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "quickstart",
        about: "three nodes pass real readings, answer calls and leave",
        network: Network::Plain,
        has_players: false,
        run: quickstart::run,
    },
    Scenario {
        name: "kill-one",
        about: "a node is killed; the others notice, tell, and go on",
        network: Network::Plain,
        has_players: false,
        run: kill_one::run,
    },
    Scenario {
        name: "restart",
        about: "a node is killed and started again, at once and after its death was seen",
        network: Network::Plain,
        has_players: false,
        run: restart::run,
    },
    Scenario {
        name: "wrong-realm",
        about: "nodes and clients of other realms are refused, those of the right one are not",
        network: Network::Plain,
        has_players: false,
        run: wrong_realm::run,
    },
    Scenario {
        name: "slow-reader",
        about: "subscribers that do not keep up are told what they miss and disturb nobody",
        network: Network::Plain,
        has_players: false,
        run: slow_reader::run,
    },
    Scenario {
        name: "mesh-32",
        about: "thirty-two nodes; twenty are killed in turn, and every other notices in time",
        network: Network::Lossy,
        has_players: false,
        run: crowd::run,
    },
    Scenario {
        name: "kill-third",
        about: "five of sixteen are killed at once; the others agree and go on",
        network: Network::Lossy,
        has_players: false,
        run: kill_third::run,
    },
    Scenario {
        name: "frozen",
        about: "five of sixteen stand still; what the others serve and keep is still found",
        network: Network::Plain,
        has_players: false,
        run: frozen::run,
    },
    Scenario {
        name: "pause",
        about: "a node stands still for 3 s, which is no death, and for 30 s, which is noticed",
        network: Network::Lossy,
        has_players: false,
        run: pauses::run,
    },
    Scenario {
        name: "one-way",
        about: "nobody hears one node, and nobody else is doubted",
        network: Network::Lossy,
        has_players: false,
        run: one_way::run,
    },
    Scenario {
        name: "overlapping-partition",
        about: "pairs cannot reach each other, but all others reach both",
        network: Network::Lossy,
        has_players: false,
        run: overlapping::run,
    },
    Scenario {
        name: "reach",
        about: "two nodes cannot reach each other; others carry their packets, and one of those is killed",
        network: Network::Lossy,
        has_players: false,
        run: reach::run,
    },
    Scenario {
        name: "rolling-restart",
        about: "sixteen nodes restart in turn while two others exchange events",
        network: Network::Lossy,
        has_players: false,
        run: rolling::run,
    },
    Scenario {
        name: "seeds-gone",
        about: "the seed leaves for ever; new and old nodes still find the others",
        network: Network::Lossy,
        has_players: false,
        run: seeds_gone::run,
    },
    Scenario {
        name: "loss",
        about: "every tenth packet is lost and a node hardly runs; nobody dies",
        network: Network::Lossy,
        has_players: false,
        run: lossy::run,
    },
    Scenario {
        name: "disorder",
        about: "packets are late, doubled and reordered; events are not",
        network: Network::Unruly,
        has_players: false,
        run: disorder::run,
    },
    Scenario {
        name: "tree",
        about: "twenty-four nodes want a topic; three that pass its events on are killed, and nobody misses one",
        network: Network::Plain,
        has_players: true,
        run: promises::tree,
    },
    Scenario {
        name: "promises",
        about: "events and calls keep their promises under every fault in turn",
        network: Network::Unruly,
        has_players: true,
        run: promises::all,
    },
    Scenario {
        name: "promises-loss-1",
        about: "the same while one packet of a hundred is lost",
        network: Network::Lossy,
        has_players: true,
        run: promises::loss_1,
    },
    Scenario {
        name: "promises-loss-5",
        about: "the same while five of a hundred are lost",
        network: Network::Lossy,
        has_players: true,
        run: promises::loss_5,
    },
    Scenario {
        name: "promises-loss-15",
        about: "the same while fifteen of a hundred are lost",
        network: Network::Lossy,
        has_players: true,
        run: promises::loss_15,
    },
    Scenario {
        name: "promises-disorder",
        about: "the same while packets are late, doubled and overtaken",
        network: Network::Unruly,
        has_players: true,
        run: promises::disorder,
    },
    Scenario {
        name: "promises-kill-writer",
        about: "the same when an application that publishes is killed",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_writer,
    },
    Scenario {
        name: "promises-kill-publisher",
        about: "the same when the node that publishes is killed",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_publisher,
    },
    Scenario {
        name: "promises-kill-member",
        about: "the same when an application that is a node and publishes with QoS 1 is killed",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_member,
    },
    Scenario {
        name: "promises-kill-durable",
        about: "who publishes as a node, to disk, is killed and starts again: what it accepted arrives",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_durable,
    },
    Scenario {
        name: "promises-kill-kept",
        about: "who publishes as a node is killed while a node that it owes events is cut off: a store sends what it had",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_kept,
    },
    Scenario {
        name: "promises-kill-reader",
        about: "the same when applications that subscribe and serve are killed",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_reader,
    },
    Scenario {
        name: "promises-kill-subscriber",
        about: "the same when the node of a subscriber is killed",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_subscriber,
    },
    Scenario {
        name: "promises-kill-relay",
        about: "the same when a node that carries packets of others is killed",
        network: Network::Lossy,
        has_players: true,
        run: promises::kill_relay,
    },
    Scenario {
        name: "promises-partition",
        about: "the same when two halves cannot reach each other for 10 s",
        network: Network::Lossy,
        has_players: true,
        run: promises::partition,
    },
    Scenario {
        name: "promises-stall",
        about: "the same while a subscriber stands still and another one is slow",
        network: Network::Lossy,
        has_players: true,
        run: promises::stall,
    },
    Scenario {
        name: "promises-restart",
        about: "the same while nodes restart in turn",
        network: Network::Lossy,
        has_players: true,
        run: promises::restart,
    },
];
