//! Several nodes of one realm in this process.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use macula::realm::{IssueRequest, RealmRoot};
use macula::wire::{NodeId, RealmName};
use macula::{Node, PublishOptions};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::super::exit::{Exit, Failed};
use super::readings::City;
use super::station::Station;

const REALM: &str = "be.acme.iot";
/// How long the nodes may take to find each other, or to hear what the others want.
const FORM_TIMEOUT: Duration = Duration::from_secs(15);
/// How often it is looked whether they have.
const FORM_PERIOD: Duration = Duration::from_millis(10);
/// Matches what the receivers want and is no city's.
pub(crate) const HELLO_TOPIC: &str = "weather.hello.temperature";

/// The nodes, in the order of their numbers: first those that publish, one a city.
#[derive(Debug)]
pub(crate) struct Mesh {
    nodes: Vec<Node>,
    publishers: [Node; 2],
}

impl Mesh {
    /// Starts `count` nodes of a realm that was made for them, and waits until each has a link to every other.
    pub(crate) async fn start(count: usize) -> Result<Self, Failed> {
        let now = macula::unix_time();
        let realm =
            RealmName::new(REALM).map_err(|error| Failed::new(Exit::Failure, error.to_string()))?;
        let root = RealmRoot::create(realm, now, RealmRoot::DEFAULT_VALIDITY)?;
        let start = async |seed: Option<&Node>| -> Result<Node, Failed> {
            let mut builder = Node::builder()
                .identity(root.issue(&IssueRequest::default(), now)?)
                .trust(root.bundle().clone())
                .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
            if let Some(seed) = seed {
                builder = builder.join(seed.local_addr());
            }
            Ok(builder.start().await?)
        };
        let first = start(None).await?;
        let second = start(Some(&first)).await?;
        let mut nodes = vec![first.clone(), second.clone()];
        while nodes.len() < count {
            nodes.push(start(Some(&first)).await?);
        }
        let mesh = Self {
            nodes,
            publishers: [first, second],
        };
        match timeout(FORM_TIMEOUT, mesh.formed()).await {
            Ok(result) => result.map(|()| mesh),
            Err(_) => Err(Failed::new(
                Exit::Unreachable,
                "the nodes did not find each other on 127.0.0.1: check that UDP is allowed on the loopback",
            )),
        }
    }

    async fn formed(&self) -> Result<(), Failed> {
        let mut ticks = interval(FORM_PERIOD);
        for node in &self.nodes {
            loop {
                ticks.tick().await;
                let members = node.members().await?;
                let linked = members
                    .iter()
                    .filter(|member| member.state == "alive" && member.linked);
                if linked.count() >= self.nodes.len() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits until what the publishers say is heard by every receiver, by saying hello until it is.
    pub(crate) async fn heard_by_all(&self, stations: &[Station]) -> Result<(), Failed> {
        let publishers: Vec<&Node> = City::ALL.iter().map(|city| self.publisher(*city)).collect();
        let expected: BTreeSet<NodeId> = publishers.iter().map(|node| node.node_id()).collect();
        let hello = async {
            let mut hellos = Vec::new();
            for node in &publishers {
                hellos.push(
                    node.publisher(HELLO_TOPIC, PublishOptions::default())
                        .await?,
                );
            }
            let mut ticks = interval(FORM_PERIOD);
            while !stations
                .iter()
                .all(|station| station.heard().is_superset(&expected))
            {
                ticks.tick().await;
                for hello in &hellos {
                    hello.publish("").await?;
                }
            }
            Ok(())
        };
        timeout(FORM_TIMEOUT, hello).await.unwrap_or_else(|_| {
            let detail = "the publishers did not hear what the others want to receive";
            Err(Failed::new(Exit::Unreachable, detail))
        })
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that publishes for a city.
    pub(crate) const fn publisher(&self, city: City) -> &Node {
        let [first, second] = &self.publishers;
        match city {
            City::Seattle => first,
            City::SanFrancisco => second,
        }
    }

    /// The nodes that receive, with their numbers.
    pub(crate) fn receivers(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().skip(City::ALL.len())
    }

    /// Lets all of them leave.
    pub(crate) async fn shutdown(&self) {
        let mut leaving = JoinSet::new();
        for node in &self.nodes {
            let node = node.clone();
            leaving.spawn(async move { node.shutdown().await });
        }
        while leaving.join_next().await.is_some() {}
    }
}
