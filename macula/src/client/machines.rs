//! What a client subscribed to and serves, in the same machines as a node, without other members.

use macula_pubsub::PubSub;
use macula_rpc::Rpc;
use macula_wire::Machine;

use super::Client;

/// How long a machine may let a change wait for others, at most.
const SETTLE_AT_MOST: std::time::Duration = std::time::Duration::from_millis(5);

/// The machines of a client.
#[derive(Debug)]
pub(super) struct Machines {
    pub(super) pubsub: PubSub,
    pub(super) rpc: Rpc,
}

impl Client {
    /// Puts the tables of the local machines in place. What they announce is said to the member by requests.
    pub(super) fn settle(&self, machines: &mut Machines) {
        self.take_tables(machines);
        // Nobody drives these machines by a timer: a change that waits for others to come takes effect here.
        let soon = self.0.plane.clock.now() + SETTLE_AT_MOST;
        let is_soon = |at: &macula_wire::Instant| *at <= soon;
        if let Some(at) = machines.pubsub.poll_timeout().filter(is_soon) {
            machines.pubsub.handle_timeout(at);
        }
        if let Some(at) = machines.rpc.poll_timeout().filter(is_soon) {
            machines.rpc.handle_timeout(at);
        }
        self.take_tables(machines);
        self.0.plane.changed();
    }

    fn take_tables(&self, machines: &mut Machines) {
        while let Some(output) = machines.pubsub.poll_output() {
            match output {
                macula_pubsub::Output::Table(table) => self.0.plane.replace_table(table),
                macula_pubsub::Output::Groups(groups) => self.0.plane.groups.store(groups),
                _ => {}
            }
        }
        while let Some(output) = machines.rpc.poll_output() {
            if let macula_rpc::Output::Table(table) = output {
                self.0.plane.providers.store(table);
            }
        }
    }
}
