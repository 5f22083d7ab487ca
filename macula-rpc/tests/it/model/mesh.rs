//! What carries offers, calls and answers between the nodes, and notes what ran and how calls ended.

use std::collections::{BTreeMap, BTreeSet};

use macula_rpc::{CallInput, CallOutput, Input, Offer, Output, Provider};
use macula_testkit::{Class, Context, Host, LinkChange};
use macula_wire::message::{
    CallCancel, CallError, CallResult, CancelMode, Failure, Invoke, KadStore, RecordContent,
    RoutingRecord, RpcCall, SignedRoutingRecord,
};
use macula_wire::{
    Body, CallId, Instant, Machine, NodeId, Pattern, Procedure, Random, RequestId, Signature,
};

use super::node::{Node, NodeOutput, Reply};

/// How calls ended, and when.
type Ends = BTreeMap<CallId, Vec<(Instant, Result<CallResult, Failure>)>>;

/// Carries messages and keeps the record.
///
/// In place of the routing of a realm it tells every member what each other one offers: all of it over a new link, and each
/// change after that.
#[derive(Debug)]
pub(super) struct Mesh {
    random: Random,
    members: BTreeMap<NodeId, BTreeSet<NodeId>>,
    offered: BTreeMap<NodeId, BTreeMap<Pattern, Offer>>,
    pub(super) ends: Ends,
    /// Where each call ran.
    pub(super) ran: BTreeMap<CallId, Vec<NodeId>>,
    /// How many calls arrived twice.
    pub(super) repeated: u64,
}

impl Mesh {
    pub(super) const fn new(random: Random) -> Self {
        Self {
            random,
            members: BTreeMap::new(),
            offered: BTreeMap::new(),
            ends: BTreeMap::new(),
            ran: BTreeMap::new(),
            repeated: 0,
        }
    }

    fn is_linked(&self, from: NodeId, to: NodeId) -> bool {
        let members = self.members.get(&from);
        members.is_some_and(|members| members.contains(&to))
    }

    /// A node begins anew.
    pub(super) fn forget(&mut self, node: &NodeId) {
        self.members.remove(node);
        self.offered.remove(node);
    }

    /// Tells all members of an offer, or of its end.
    fn tell_all(&self, context: &mut Context<'_>, pattern: &Pattern, offer: Option<&Offer>) {
        let members = self.members.get(&context.id());
        for member in members.into_iter().flatten() {
            tell(context, *member, pattern, offer);
        }
    }

    fn on_rpc(&mut self, context: &mut Context<'_>, output: Output) {
        match output {
            Output::Announce { pattern, offer } => {
                self.tell_all(context, &pattern, Some(&offer));
                let offered = self.offered.entry(context.id()).or_default();
                let before = offered.insert(pattern, offer.clone());
                assert_ne!(before, Some(offer), "announced twice");
            }
            Output::Withdraw { pattern } => {
                self.tell_all(context, &pattern, None);
                let offered = self.offered.entry(context.id()).or_default();
                assert!(offered.remove(&pattern).is_some(), "was not announced");
            }
            Output::Table(_) | Output::Watch { .. } | Output::Unwatch { .. } => {}
            other => context.fail(format!("unexpected {other:?}")),
        }
    }

    fn on_call(
        &mut self,
        context: &mut Context<'_>,
        node: &mut Node,
        call: CallId,
        procedure: Procedure,
        output: CallOutput,
    ) {
        let (now, own) = (context.now(), context.id());
        if let CallOutput::Send { to, attempt, .. } = output {
            node.sent(call, attempt, to);
        }
        match output {
            CallOutput::Send {
                to: Provider::Member(to),
                attempt,
                deadline_ms,
            } => {
                if !self.is_linked(own, to) {
                    node.tell(now, call, CallInput::NotSent { attempt });
                    return;
                }
                let mut message = RpcCall::new(call, own, procedure, deadline_ms);
                message.hops = 1;
                context.send(to, Class::Reliable, message.clone());
                if self.random.below(4) == 0 {
                    self.repeated += 1;
                    context.send(to, Class::Reliable, message);
                }
            }
            CallOutput::Send { deadline_ms, .. } => {
                self.serve(context, node, own, call, &procedure, deadline_ms);
            }
            CallOutput::Abandon {
                mode: CancelMode::Skip,
                ..
            } => {}
            CallOutput::Abandon {
                to: Provider::Member(to),
                mode,
                ..
            } => context.send(to, Class::Reliable, CallCancel { call, mode }),
            CallOutput::Abandon { .. } => node.stop(own, call),
            CallOutput::Done(end) => self.ends.entry(call).or_default().push((now, end)),
        }
    }

    fn serve(
        &mut self,
        context: &Context<'_>,
        node: &mut Node,
        caller: NodeId,
        call: CallId,
        procedure: &Procedure,
        deadline_ms: u32,
    ) {
        if node.serve(context.now(), caller, call, procedure, deadline_ms) {
            self.ran.entry(call).or_default().push(context.id());
        }
    }
}

fn tell(context: &mut Context<'_>, to: NodeId, pattern: &Pattern, offer: Option<&Offer>) {
    let content = offer.cloned().unwrap_or_else(|| Offer::new(0, Invoke::P2c));
    let record = RoutingRecord {
        owner: context.id(),
        sequence: 0,
        expires_ms: u64::MAX,
        withdrawn: offer.is_none(),
        content: RecordContent::Provider(content.content(pattern.clone())),
    };
    let signature = Signature::from_bytes([0; 64]);
    let store = KadStore {
        request: RequestId::new(0),
        records: vec![SignedRoutingRecord { record, signature }.into()],
    };
    context.send(to, Class::Reliable, store);
}

/// What a record of `from` says.
fn told(from: NodeId, record: &RoutingRecord) -> Option<Input> {
    let RecordContent::Provider(provider) = &record.content else {
        return None;
    };
    let (node, pattern) = (from, provider.pattern.clone());
    Some(if record.withdrawn {
        Input::Unoffered { node, pattern }
    } else {
        let offer = Offer::from(provider);
        Input::Offered {
            node,
            pattern,
            offer,
        }
    })
}

fn on_reply(context: &mut Context<'_>, node: &mut Node, reply: Reply) {
    let Reply { to, call, answer } = reply;
    if to == context.id() {
        node.answered(context.now(), Provider::Member(to), call, answer);
        return;
    }
    let body: Body = match answer {
        Ok(result) => result.into(),
        Err(failure) => CallError { call, failure }.into(),
    };
    context.send(to, Class::Reliable, body);
}

impl Host for Mesh {
    type Machine = Node;

    fn on_output(&mut self, context: &mut Context<'_>, node: &mut Node, output: NodeOutput) {
        match output {
            NodeOutput::Rpc(output) => self.on_rpc(context, output),
            NodeOutput::Call(id, name, output) => self.on_call(context, node, id, name, output),
            NodeOutput::Reply(reply) => on_reply(context, node, reply),
        }
    }

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        node: &mut Node,
        from: NodeId,
        _: Class,
        body: Body,
    ) {
        let (now, provider) = (context.now(), Provider::Member(from));
        match body {
            Body::KadStore(store) => {
                for signed in store.records {
                    node.handle_input(now, told(from, &signed.record).unwrap());
                }
            }
            Body::RpcCall(call) => {
                let (id, deadline_ms) = (call.call, call.deadline_ms);
                self.serve(context, node, call.caller, id, &call.procedure, deadline_ms);
            }
            Body::RpcResult(result) => node.answered(now, provider, result.call, Ok(result)),
            Body::RpcError(error) => node.answered(now, provider, error.call, Err(error.failure)),
            Body::RpcCancel(cancel) => node.stop(from, cancel.call),
            other => context.fail(format!("unexpected {other:?}")),
        }
    }

    fn on_link(
        &mut self,
        context: &mut Context<'_>,
        node: &mut Node,
        peer: NodeId,
        change: LinkChange,
    ) {
        let now = context.now();
        let members = self.members.entry(context.id()).or_default();
        match change {
            LinkChange::Up => {
                members.insert(peer);
                // What was said over an earlier link may be lost.
                node.handle_input(now, Input::MemberDown { node: peer });
                let offered = self.offered.entry(context.id()).or_default();
                for (pattern, offer) in offered.iter() {
                    tell(context, peer, pattern, Some(offer));
                }
            }
            LinkChange::Down => {
                members.remove(&peer);
                node.lost(now, peer);
            }
        }
    }
}
