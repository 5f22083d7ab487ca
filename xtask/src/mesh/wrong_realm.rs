//! Nodes and clients of other realms are refused, those of the right one are not.

use std::time::Duration;

use serde_json::Value;

use super::counts::Counts;
use super::node::Node;
use super::subscriber::{Subscriber, publish, published};
use super::until::{Seen, until};
use super::world::{World, ensure, readings};
use crate::failure::Failure;

/// What everybody subscribes to.
const ALL: &str = "**";
const TOPIC: &str = "weather.seattle.temperature";
/// What each stranger publishes for itself, to show that its own subscription works.
const OWN: &str = "weather.own.temperature";
const READINGS: usize = 200;
/// How often a stranger has to be refused before we look at what it achieved.
const ATTEMPTS: u64 = 3;
const REFUSAL_LIMIT: Duration = Duration::from_secs(30);
const JOIN_LIMIT: Duration = Duration::from_secs(10);
const PASS_LIMIT: Duration = Duration::from_secs(20);

/// A node that does not belong to the realm, and who listens there.
struct Stranger {
    node: Node,
    subscriber: Subscriber,
    refused: u64,
}

/// Who sees that the other is not of its realm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Refuser {
    /// The stranger does not know the realm's label, so the node shows it a certificate that says nothing; the
    /// stranger turns away from that.
    Stranger,
    /// The stranger has the realm's trust bundle and accepts the node, which refuses it.
    Door,
}

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let realm = world.realm("realm", "be.acme.iot")?;
    let (first, second) = (world.issue(&realm, "a")?, world.issue(&realm, "b")?);
    let mut a = Node::start(world, "a", &first, "127.0.0.1:0", &[])?;
    let mut strangers = Vec::new();
    for (name, folder, refuser) in identities(world, &realm)? {
        strangers.push(refused(world, &a, name, &folder, refuser)?);
    }
    // The twin that is accepted.
    let mut b = Node::start(world, "b", &second, "127.0.0.1:0", &[&a.listen])?;
    for node in [&a, &b] {
        node.knows(world, 2, JOIN_LIMIT)?;
    }
    let clients = clients(world, &a, &realm, &strangers)?;
    let received = events(world, &a, &b, &mut strangers)?;
    for node in [&mut a, &mut b] {
        node.is_well(world)?;
        node.knows(world, 2, Duration::ZERO)?;
    }
    let refused = strangers.iter().map(|stranger| stranger.refused).sum();
    for mut stranger in strangers {
        stranger.node.knows(world, 1, Duration::ZERO)?;
        stranger.node.is_well(world)?;
    }
    Ok(Counts::default()
        .with("strangers", 3)
        .with("refused_nodes", refused)
        .with("refused_clients", clients)
        .with("received", received))
}

/// Three identities that are not of the realm: one of another realm, one of a root that was made under the same
/// name, and one of such a root that presents itself with the trust bundle of the realm.
fn identities(world: &World, realm: &str) -> Result<Vec<(&'static str, String, Refuser)>, Failure> {
    let other = world.realm("other", "be.other.iot")?;
    let same = world.realm("same", "be.acme.iot")?;
    let foreign = world.issue(&other, "x")?;
    let namesake = world.issue(&same, "y")?;
    let forged = world.issue(&same, "z")?;
    let trust = std::path::Path::new(realm).join("realm.trust");
    std::fs::copy(&trust, std::path::Path::new(&forged).join("realm.trust"))
        .map_err(|error| Failure::failed(format!("{}: {error}", trust.display())))?;
    Ok(vec![
        ("foreign", foreign, Refuser::Stranger),
        ("namesake", namesake, Refuser::Stranger),
        ("forged", forged, Refuser::Door),
    ])
}

/// Starts a stranger that joins by `door`, and waits until it was refused often.
fn refused(
    world: &World,
    door: &Node,
    name: &'static str,
    folder: &str,
    refuser: Refuser,
) -> Result<Stranger, Failure> {
    let before = failures(world, door)?;
    let node = Node::start(world, name, folder, "127.0.0.1:0", &[&door.listen])?;
    let subscriber = Subscriber::start(world, &format!("sub at {name}"), &node, ALL, &[])?;
    let what = format!("{ATTEMPTS} refusals of {name}");
    let (refused, _took) = until(REFUSAL_LIMIT, &what, || {
        let now = match refuser {
            Refuser::Stranger => failures(world, &node)?,
            Refuser::Door => failures(world, door)?.saturating_sub(before),
        };
        Ok(if now >= ATTEMPTS {
            Seen::Yes(now)
        } else {
            Seen::NotYet(format!("{now} refusals"))
        })
    })?;
    node.knows(world, 1, Duration::ZERO)?;
    Ok(Stranger {
        node,
        subscriber,
        refused,
    })
}

/// How many peers a node refused for their identity.
fn failures(world: &World, node: &Node) -> Result<u64, Failure> {
    let status = node.status(world)?;
    let reasons = status
        .pointer("/stats/endpoint/auth_failures")
        .and_then(Value::as_array)
        .ok_or_else(|| Failure::failed(format!("no auth_failures in {status}")))?;
    let counts = reasons
        .iter()
        .filter_map(|reason| reason.get("count").and_then(Value::as_u64));
    Ok(counts.sum())
}

/// Clients of the strangers are refused, one of the realm is not. Tells how many were refused.
fn clients(
    world: &World,
    door: &Node,
    realm: &str,
    strangers: &[Stranger],
) -> Result<u64, Failure> {
    let connect =
        |identity: &str| world.ask(&["members", "--connect", &door.listen, "--identity", identity]);
    let mut refused: u64 = 0;
    for stranger in strangers {
        let answer = connect(&stranger.node.folder)?.expect_one_of(&[3, 6])?;
        ensure(answer.lines.is_empty(), || {
            format!("{} was told of members", stranger.node.name)
        })?;
        refused = refused.saturating_add(1);
    }
    let client = world.issue(realm, "client")?;
    let answer = connect(&client)?.expect(0)?;
    ensure(answer.lines.len() == 2, || {
        format!("the right client sees {:?}", answer.lines)
    })?;
    Ok(refused)
}

/// Events of the realm reach its member and no stranger. Tells how many the member got.
fn events(world: &World, a: &Node, b: &Node, strangers: &mut [Stranger]) -> Result<u64, Failure> {
    let mut member = Subscriber::start(world, "sub at b", b, ALL, &[])?;
    super::subscriber::connected(world, &[a], &mut [&mut member])?;
    let lines = readings("seattle", 0, READINGS)?;
    let file = world.file("seattle", &lines)?;
    published(publish(world, a, TOPIC, &file, &[])?, READINGS, PASS_LIMIT)?;
    let count = u64::try_from(READINGS).unwrap_or(u64::MAX);
    let feed = member.accounts(a, TOPIC, count, PASS_LIMIT)?;
    ensure(feed.payloads == lines, || {
        "the member got other readings than were sent".to_owned()
    })?;
    let own = world.file("own", &["1".to_owned()])?;
    for stranger in strangers {
        let node = &stranger.node;
        published(publish(world, node, OWN, &own, &[])?, 1, PASS_LIMIT)?;
        stranger.subscriber.accounts(node, OWN, 1, PASS_LIMIT)?;
        let publishers = stranger.subscriber.history().publishers();
        ensure(publishers == [node.id.as_str()], || {
            format!("{} heard of {publishers:?}", node.name)
        })?;
    }
    let history = member.stop()?;
    let publishers = history.publishers();
    ensure(publishers == [a.id.as_str()], || {
        format!("a member of the realm heard of {publishers:?}")
    })?;
    Ok(feed.delivered)
}
