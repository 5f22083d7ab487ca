//! Plugs trees into the simulated network.

use std::sync::Arc;

use macula_pubsub::{Tree, TreeBatch, TreeInput, TreeOutput};
use macula_testkit::{Class, Context, Host, LinkChange, NodeIndex};
use macula_wire::{Batch, Body, Instant, Machine, NodeId, Topic, limit};

use super::measure::Message;

/// What a node runs: the trees of one topic.
pub(super) type Node = Tree<Arc<Batch>>;

/// One machine a node, and what became of each message.
#[derive(Debug)]
pub(super) struct Nodes {
    pub(super) topic: Topic,
    /// The senders, and the messages of each by their sequence.
    pub(super) messages: Vec<(NodeIndex, Vec<Message>)>,
}

impl Nodes {
    /// The message of a batch.
    fn message(&mut self, publisher: Option<NodeIndex>, batch: u64) -> Option<&mut Message> {
        let at = usize::try_from(batch).ok()?;
        let mut senders = self.messages.iter_mut();
        let (_, messages) = senders.find(|(sender, _)| Some(*sender) == publisher)?;
        messages.get_mut(at)
    }

    fn delivered(&mut self, context: &Context<'_>, batch: &TreeBatch<Arc<Batch>>, now: Instant) {
        let publisher = context.index_of(batch.publisher);
        let (node, distance) = (context.node(), batch.distance);
        if let Some(message) = self.message(publisher, batch.base.get()) {
            message.delivered(node, distance, now);
        }
    }
}

impl Host for Nodes {
    type Machine = Node;

    fn on_output(
        &mut self,
        context: &mut Context<'_>,
        _: &mut Node,
        output: TreeOutput<Arc<Batch>>,
    ) {
        match output {
            TreeOutput::Push { to, batch } => {
                let mut body = Batch::clone(&batch.payload);
                body.hops = limit::TREE_HOPS
                    .saturating_add(1)
                    .saturating_sub(batch.distance);
                context.send(to, Class::Reliable, Body::Batch(body));
            }
            TreeOutput::Send { to, body } => context.send(to, Class::Reliable, body),
            TreeOutput::Deliver { batch } => {
                let now = context.network_now();
                self.delivered(context, &batch, now);
            }
            TreeOutput::Connect { node } => context.dial(node),
            TreeOutput::Release { .. } | TreeOutput::Unknown { .. } | _ => {}
        }
    }

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Node,
        from: NodeId,
        _: Class,
        body: Body,
    ) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "no other message is sent in this network"
        )]
        let input = match body {
            Body::Batch(batch) => {
                let publisher = context.index_of(batch.publisher);
                if let Some(message) = self.message(publisher, batch.base.get()) {
                    message.payloads = message.payloads.saturating_add(1);
                }
                TreeInput::Batch {
                    from: Some(from),
                    batch: on_its_way(&self.topic, batch),
                    expected: None,
                }
            }
            Body::IHave(have) => TreeInput::Have { from, have },
            Body::Graft(graft) => TreeInput::Graft { from, graft },
            Body::Prune(prune) => TreeInput::Prune { from, prune },
            other => return context.fail(format!("{other:?} is not of trees")),
        };
        machine.handle_input(context.now(), input);
    }

    fn on_link(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Node,
        peer: NodeId,
        change: LinkChange,
    ) {
        let input = match change {
            LinkChange::Up => TreeInput::LinkUp { peer, rtt: None },
            LinkChange::Down => TreeInput::LinkDown { peer },
        };
        machine.handle_input(context.now(), input);
    }
}

/// A batch as a tree takes it. There is one topic, which all aliases stand for.
pub(super) fn on_its_way(topic: &Topic, batch: Batch) -> TreeBatch<Arc<Batch>> {
    TreeBatch {
        publisher: batch.publisher,
        epoch: batch.epoch,
        topic: topic.clone(),
        base: batch.base,
        count: u64::try_from(batch.entries.count()).unwrap_or(u64::MAX),
        distance: limit::TREE_HOPS
            .saturating_add(1)
            .saturating_sub(batch.hops),
        bytes: batch.entries.encoded().len(),
        payload: Arc::new(batch),
    }
}
