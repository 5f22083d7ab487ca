//! Asking each member a question.

use futures::StreamExt;
use macula::wire::NodeId;
use macula::{CallOptions, Client, Error, Reply};
use serde::Deserialize;

use super::attach;
use super::exit::Failed;

/// How many members are asked at a time.
const MAX_ASKED: usize = 32;

/// A member, as far as commands ask each.
#[derive(Debug, Deserialize)]
struct Member {
    node: String,
    state: String,
}

/// The members that are alive or suspected, by their ids.
pub(crate) async fn members(client: &Client) -> Result<Vec<NodeId>, Failed> {
    let members: Vec<Member> = attach::ask(client, "$sys.members").await?;
    let there = members.into_iter();
    let there = there.filter(|one| one.state == "alive" || one.state == "suspect");
    Ok(there.filter_map(|one| one.node.parse().ok()).collect())
}

/// Asks one member, by the one that the client is attached to.
pub(crate) async fn ask(
    client: &Client,
    node: NodeId,
    question: &str,
    options: &CallOptions,
) -> Result<Reply, Error> {
    let options = options.clone().to_node(node);
    client.call(question, "", options).await
}

/// Asks all of them; what each answers, in no order.
pub(crate) async fn ask_all(
    client: &Client,
    members: &[NodeId],
    question: &str,
    options: &CallOptions,
) -> Vec<(NodeId, Result<Reply, Error>)> {
    let asked = futures::stream::iter(members.iter().copied()).map(|node| async move {
        let reply = ask(client, node, question, options).await;
        (node, reply)
    });
    asked.buffer_unordered(MAX_ASKED).collect().await
}
