//! Clients over the Unix socket of a node, and what a node answers about itself.

use macula::realm::IssueRequest;
use macula::system::PROCEDURES;
use macula::wire::{ContentType, ErrorCode};
use macula::{CallOptions, Client, Node, NodeConfig, NodeDirectory, RegisterOptions};
use serde_json::Value;
use tempfile::TempDir;

use super::{listen, who};
use crate::mesh::{Realm, event, loopback, subscribe, until, within};

/// A node that runs in a directory, and a client of it.
struct Place {
    _directory: TempDir,
    realm: Realm,
    node: Node,
    client: Client,
}

impl Place {
    async fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let realm = Realm::new();
        let identity = realm.identity(&IssueRequest::default());
        identity.save(place.path()).unwrap();
        realm.bundle().save(place.path()).unwrap();
        let directory = NodeDirectory::new(place.path());
        let mut config = NodeConfig::default();
        config.listen = loopback();
        config.http = false;
        directory.create_config(&config).unwrap();
        let error = within(Client::local(&directory)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::UNREACHABLE, "nobody runs yet");
        let node = within(directory.builder().unwrap().start()).await.unwrap();
        let client = within(Client::local(&directory)).await.unwrap();
        Self {
            _directory: place,
            realm,
            node,
            client,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_client_acts_as_its_node() {
    let place = Place::new().await;
    let (node, client) = (&place.node, &place.client);
    assert_eq!(client.node_id(), node.node_id());
    let mut near = subscribe(node, "l.*").await;
    let mut mine = listen(client, "l.*").await;
    within(client.publish("l.x", "from the client"))
        .await
        .unwrap();
    for subscription in [&mut near, &mut mine] {
        let event = event(subscription).await;
        assert_eq!(event.publisher(), node.node_id());
        assert_eq!(event.payload()[..], *b"from the client");
        assert_eq!(event.sequence().get(), 0);
    }
    node.publish("l.x", "from the node").await.unwrap();
    let event = event(&mut mine).await;
    assert_eq!(event.payload()[..], *b"from the node");
    assert_eq!(event.sequence().get(), 1, "they share the numbers");
    let options = RegisterOptions::default();
    let _served = within(client.register("l.mine", options, who))
        .await
        .unwrap();
    let expected = format!("{} None", node.node_id());
    let reply = within(node.call("l.mine", "", CallOptions::default())).await;
    assert_eq!(reply.unwrap().payload[..], *expected.as_bytes());
    let reply = within(client.call("l.mine", "", CallOptions::default())).await;
    assert_eq!(reply.unwrap().payload[..], *expected.as_bytes());
}

async fn ask(client: &Client, question: &str) -> Value {
    let reply = within(client.call(question, "", CallOptions::default())).await;
    let reply = reply.unwrap();
    assert_eq!(reply.content, ContentType::Json);
    serde_json::from_slice(&reply.payload).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_answers_its_clients_about_itself() {
    let place = Place::new().await;
    let id = place.node.node_id().to_string();
    let remote = place.realm.client(&place.node).await;
    until(async || place.node.stats().await.unwrap().links_clients == 2).await;
    for client in [&place.client, &remote] {
        assert_eq!(ask(client, "$sys.node").await["node"], id.as_str());
        let members = ask(client, "$sys.members").await;
        assert_eq!(members[0]["node"], id.as_str());
        assert_eq!(members.as_array().unwrap().len(), 1);
        let peers = ask(client, "$sys.peers").await;
        let mut roles: Vec<_> = peers.as_array().unwrap().iter().collect();
        roles.sort_by_key(|peer| peer["role"].to_string());
        assert_eq!(
            (&roles[0]["role"], &roles[1]["role"]),
            (&"client".into(), &"local".into())
        );
        assert_eq!(ask(client, "$sys.stats").await["links_clients"], 2);
        for (question, _) in PROCEDURES {
            let takes = [
                "$sys.dht.put",
                "$sys.dht.withdraw",
                "$sys.earlier",
                "$sys.find",
                "$sys.service",
                "$sys.trace",
            ];
            if takes.contains(question) {
                let error = within(client.call(question, "", CallOptions::default())).await;
                let code = error.unwrap_err().code();
                let refused = [ErrorCode::INVALID_ARGUMENT, ErrorCode::DENIED];
                assert!(refused.contains(&code), "{question}: {code}");
            } else if *question != "$sys.testament" {
                ask(client, question).await;
            }
        }
        let options = CallOptions::default();
        let trace = within(client.call("$sys.trace", "7".repeat(64), options)).await;
        let trace: Value = serde_json::from_slice(&trace.unwrap().payload).unwrap();
        assert_eq!(
            (&trace["node"], &trace["code"]),
            (&id.as_str().into(), &"UNREACHABLE".into())
        );
        for wrong in ["", "7777", &id] {
            let options = CallOptions::default();
            let error = within(client.call("$sys.trace", wrong.to_owned(), options)).await;
            assert_eq!(error.unwrap_err().code(), ErrorCode::INVALID_ARGUMENT);
        }
        let error = within(client.call("$sys.nothing", "", CallOptions::default())).await;
        assert_eq!(error.unwrap_err().code(), ErrorCode::NO_SUCH_PROCEDURE);
    }
}
