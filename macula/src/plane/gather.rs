//! Asking every node that serves a procedure, and gathering what each answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use macula_rpc::{Candidates, Provider, Scope};
use macula_wire::message::{CallResult, Failure};
use macula_wire::{ContentType, NodeId};

use super::Plane;
use super::outgoing::{self, Outgoing, nobody};
use crate::call::{Flow, NodeReply, Reply};

/// How many nodes are asked at a time.
const MAX_ASKED: usize = 64;

/// Asks each node that serves the procedure once, and hands on by the flow what each answers, as it comes. Ends when each
/// has answered or failed, or `most` have answered; 0 is no limit.
pub(crate) async fn all(
    plane: &Arc<Plane>,
    mut outgoing: Outgoing,
    candidates: Option<Candidates>,
    most: u32,
) -> Result<CallResult, Failure> {
    let call = outgoing.request.call;
    let replies = std::mem::take(&mut outgoing.flow);
    let candidates = candidates.filter(|found| !found.all().is_empty());
    let candidates = candidates.ok_or_else(nobody)?;
    let (outgoing, candidates) = (&outgoing, &candidates);
    let asked = futures::stream::iter(nodes(candidates)).map(|node| async move {
        let result = ask(plane, outgoing, candidates, node).await;
        (node, result)
    });
    let mut answers = std::pin::pin!(asked.buffer_unordered(MAX_ASKED));
    let mut answered: u32 = 0;
    while let Some((node, result)) = answers.next().await {
        answered = answered.saturating_add(u32::from(result.is_ok()));
        let result = result
            .map(|result| Reply::new(result.content, result.payload))
            .map_err(Into::into);
        replies.reply(NodeReply { node, result }).await;
        if most > 0 && answered >= most {
            break;
        }
    }
    Ok(CallResult {
        call,
        content: ContentType::Bytes,
        payload: Bytes::new(),
    })
}

/// Who serves: each node once, however many on it do.
fn nodes(candidates: &Candidates) -> BTreeSet<NodeId> {
    let willing = candidates.all().iter().filter(|one| one.weight > 0);
    willing
        .map(|one| match one.provider {
            Provider::Member(node) => node,
            Provider::Local(_) | Provider::Session(..) => candidates.own(),
        })
        .collect()
}

async fn ask(
    plane: &Arc<Plane>,
    outgoing: &Outgoing,
    candidates: &Candidates,
    node: NodeId,
) -> Result<CallResult, Failure> {
    let mut one = outgoing.clone();
    one.flow = Flow::default();
    let candidates = if node == candidates.own() {
        one.scope = Scope::Here;
        candidates.clone()
    } else {
        one.scope = Scope::Any;
        one.is_dialled = true;
        let procedure = &outgoing.request.procedure;
        Candidates::only(plane.node(), Provider::Member(node), procedure)
    };
    outgoing::make(plane, Arc::new(one), Some(candidates)).await
}
