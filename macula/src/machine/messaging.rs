//! What interest and offers put out.

use macula_swim::Class;
use macula_wire::message::Body;
use macula_wire::{ErrorCode, NodeId};

use super::{NodeMachine, NodeOutput};

impl NodeMachine {
    /// What the peer announces and what is known of it differ from here on. A new link begins with everything.
    fn misannounced(&mut self, peer: NodeId, offence: String) {
        self.misbehaved(peer, offence);
        let code = ErrorCode::PROTOCOL_VIOLATION;
        if let Some(epoch) = self.links.get(&peer) {
            self.disconnect((peer, *epoch), code, "an announcement broke the rules");
        }
    }

    /// In a small realm an announcement goes to every member, so a watch needs no message: its answer is what all
    /// members announce anyway.
    pub(super) fn route_pubsub(&mut self, output: macula_pubsub::Output) {
        use macula_pubsub::Output;
        match output {
            Output::Announce { to, interest } => {
                let to = match to {
                    macula_pubsub::Audience::AllMembers => None,
                    macula_pubsub::Audience::Member(node) => Some(node),
                };
                self.announce(to, &Body::from(interest));
            }
            Output::Table(table) => self.outputs.push_back(NodeOutput::Table(table)),
            Output::Misbehaved { peer, offence } => self.misannounced(peer, offence.to_string()),
            _ => {}
        }
    }

    pub(super) fn route_rpc(&mut self, output: macula_rpc::Output) {
        use macula_rpc::Output;
        match output {
            Output::Announce { to, offer } => {
                let to = match to {
                    macula_rpc::Audience::AllMembers => None,
                    macula_rpc::Audience::Member(node) => Some(node),
                };
                self.announce(to, &Body::from(offer));
            }
            Output::Table(table) => self.outputs.push_back(NodeOutput::Providers(table)),
            Output::Misbehaved { peer, offence } => self.misannounced(peer, offence.to_string()),
            _ => {}
        }
    }

    fn announce(&mut self, to: Option<NodeId>, body: &Body) {
        let receivers: Vec<NodeId> = match to {
            Some(node) => vec![node],
            None => self.links.keys().copied().collect(),
        };
        for to in receivers {
            self.outputs.push_back(NodeOutput::Send {
                to,
                class: Class::Reliable,
                body: body.clone(),
            });
        }
    }
}
