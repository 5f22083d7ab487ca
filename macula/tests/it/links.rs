//! What links cost a node.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use macula::RealmCredentials;
use macula::realm::{IssueRequest, RealmRoot};
use macula::transport::{Config, Endpoint, Hello, Link, LinkEvent};
use macula::wire::Epoch;
use macula::wire::message::Role;

use crate::command::{Place, Running, read};
use crate::mesh::{loopback, until, within};

/// How many members there are.
const MEMBERS: u64 = 1_000;
/// How many of them dial at a time.
const AT_A_TIME: usize = 16;
/// The most bytes that a link may take: 1,000 of them 100 MB.
const GOAL: u64 = 100_000;

/// A member of which there is nothing but a link; all that comes by it is read.
async fn dial(realm: &RealmRoot, address: SocketAddr) -> (Endpoint, Link) {
    let identity = realm.issue(&IssueRequest::default(), macula::unix_time());
    let credentials = RealmCredentials::new(&identity.unwrap(), realm.bundle().clone());
    let hello = Hello::new(Role::Member, Epoch::new(macula::unix_time() * 1_000));
    let realms = vec![Arc::new(credentials) as _];
    let (endpoint, _) = Endpoint::bind(loopback(), Config::default(), hello, realms).unwrap();
    let name = realm.bundle().realm();
    let (link, mut receiver) = within(endpoint.dial(name, address, None)).await.unwrap();
    tokio::spawn(async move { while !matches!(receiver.next().await, LinkEvent::Closed(_)) {} });
    (endpoint, link)
}

/// How much memory of a process is in use, in bytes; `None` where the system does not say.
fn resident(node: &Running) -> Option<u64> {
    let path = format!("/proc/{}/status", node.process.id());
    let status = std::fs::read_to_string(path).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line?.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1_024)
}

fn links(node: &Running) -> u64 {
    let stats = node.macula(&["stats"]).expect(0).object();
    stats["links_members"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_links_take_less_than_a_hundred_megabytes() {
    let place = Place::new();
    let config = place.path("node/node.toml");
    let text = String::from_utf8(read(&config)).unwrap();
    let (limit, more) = (
        "max_connections_per_ip = 64",
        "max_connections_per_ip = 2000",
    );
    assert!(text.contains(limit), "{text}");
    std::fs::write(&config, text.replace(limit, more)).unwrap();
    let node = place.run_node();
    let realm = RealmRoot::load(Path::new(&place.text("realm"))).unwrap();
    let address: SocketAddr = node.listen.parse().unwrap();
    // What it takes once, for the first link of all.
    let _first = dial(&realm, address).await;
    until(async || links(&node) == 1).await;
    let Some(before) = resident(&node) else {
        return;
    };
    let dialled = futures::stream::iter(0..MEMBERS).map(|_| dial(&realm, address));
    let _dialled: Vec<_> = dialled.buffer_unordered(AT_A_TIME).collect().await;
    until(async || links(&node) == MEMBERS + 1).await;
    let taken = resident(&node).unwrap().saturating_sub(before) / MEMBERS;
    assert!(taken < GOAL, "{taken} bytes a link");
}
