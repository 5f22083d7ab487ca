//! Calls of all who serve.

use std::collections::BTreeMap;

use macula::wire::{ErrorCode, NodeId};
use macula::{CallFailure, Node, RegisterOptions, Replies};

use super::policies::serve_id;
use super::seconds;
use crate::mesh::{Realm, offered, within};

/// Who answered what, and who failed how.
async fn gathered(mut replies: Replies) -> BTreeMap<NodeId, Result<String, ErrorCode>> {
    let mut all = BTreeMap::new();
    while let Some(reply) = within(replies.next()).await.unwrap() {
        let result = match reply.result {
            Ok(reply) => Ok(String::from_utf8(reply.payload.to_vec()).unwrap()),
            Err(error) => Err(error.code()),
        };
        assert!(all.insert(reply.node, result).is_none(), "twice");
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_that_serves_answers_once_for_itself() {
    let realm = Realm::new();
    let nodes: [Node; 3] = realm.mesh().await;
    let mut served = Vec::new();
    for node in &nodes {
        served.push(serve_id(node, "a.x", RegisterOptions::default()).await);
    }
    // Two on one node answer once, together.
    served.push(serve_id(&nodes[0], "a.x", RegisterOptions::default()).await);
    for node in &nodes[1..] {
        offered(node, &nodes[0]).await;
    }
    let client = realm.client(&nodes[0]).await;
    let expected: BTreeMap<_, _> = nodes
        .iter()
        .map(|node| (node.node_id(), Ok(node.node_id().to_string())))
        .collect();
    let replies = within(nodes[0].call_all("a.x", "", seconds(10), 0)).await;
    assert_eq!(gathered(replies.unwrap()).await, expected);
    let replies = within(client.call_all("a.x", "", seconds(10), 0)).await;
    assert_eq!(gathered(replies.unwrap()).await, expected);
    let replies = within(nodes[0].call_all("a.x", "", seconds(10), 2)).await;
    assert_eq!(gathered(replies.unwrap()).await.len(), 2);
    let replies = within(client.call_all("a.x", "", seconds(10), 1)).await;
    assert_eq!(gathered(replies.unwrap()).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_is_told_beside_those_that_answer() {
    let realm = Realm::new();
    let [able, unable, caller] = realm.mesh().await;
    let _able = serve_id(&able, "a.x", RegisterOptions::default()).await;
    let refuse = |_| async { Err(CallFailure::application("cold", "the sensor is frozen")) };
    let options = RegisterOptions::default();
    let _unable = unable.register("a.x", options, refuse).await.unwrap();
    offered(&able, &caller).await;
    offered(&unable, &caller).await;
    let client = realm.client(&caller).await;
    let expected = BTreeMap::from([
        (able.node_id(), Ok(able.node_id().to_string())),
        (unable.node_id(), Err(ErrorCode::APPLICATION)),
    ]);
    let replies = within(caller.call_all("a.x", "", seconds(10), 0)).await;
    assert_eq!(gathered(replies.unwrap()).await, expected);
    let replies = within(client.call_all("a.x", "", seconds(10), 0)).await;
    assert_eq!(gathered(replies.unwrap()).await, expected);
    for mut replies in [
        within(caller.call_all("a.nobody", "", seconds(10), 0))
            .await
            .unwrap(),
        within(client.call_all("a.nobody", "", seconds(10), 0))
            .await
            .unwrap(),
    ] {
        let error = within(replies.next()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NO_SUCH_PROCEDURE);
        assert!(within(replies.next()).await.unwrap().is_none());
    }
}
