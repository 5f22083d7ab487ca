//! A member that says of others what is not so.

use std::sync::Arc;

use macula::realm::{IssueRequest, NodeIdentity};
use macula::transport::{Config, Endpoint, Hello, Link, LinkEvent, LinkReceiver, OutFrame};
use macula::wire::message::{
    Accusation, Body, MemberRecord, MemberStatus, Message, Role, Roles, SignedAccusation,
    SignedRecord, SwimGossip, SwimJoin, Update,
};
use macula::wire::{Domain, Epoch, ErrorCode, Incarnation, NodeId, Signer, signed};
use macula::{Node, RealmCredentials};

use crate::mesh::{Realm, loopback, until, within};

/// How many accusations of one accuser a node looks at within a second.
const LIMIT: u64 = 100;
/// How many updates fit one message.
const PART: usize = 64;

/// The bare link of a member, which says what the test wants.
pub(crate) struct Forger {
    pub(crate) identity: NodeIdentity,
    epoch: Epoch,
    _endpoint: Endpoint,
    pub(crate) link: Link,
    pub(crate) receiver: LinkReceiver,
}

impl Forger {
    /// Links to `node` and makes itself known; also gives the record of `victim`, as `node` tells it.
    pub(crate) async fn join(realm: &Realm, node: &Node, victim: NodeId) -> (Self, MemberRecord) {
        let identity = realm.identity(&IssueRequest::default());
        let epoch = Epoch::new(macula::unix_time() * 1_000);
        let hello = Hello::new(Role::Member, epoch);
        let credentials = RealmCredentials::new(&identity, realm.bundle());
        let credentials = vec![Arc::new(credentials) as _];
        let (endpoint, _) =
            Endpoint::bind(loopback(), Config::default(), hello, credentials).unwrap();
        let dial = endpoint.dial(node.realm(), node.local_addr(), Some(node.node_id()));
        let (link, receiver) = within(dial).await.unwrap();
        let mut forger = Self {
            identity,
            epoch,
            _endpoint: endpoint,
            link,
            receiver,
        };
        let record = forger.own_record();
        forger.say(SwimJoin { record }).await;
        let found = forger.record(victim).await;
        (forger, found)
    }

    fn own_record(&self) -> Arc<SignedRecord> {
        let node = self.identity.node();
        let record = MemberRecord {
            node,
            epoch: self.epoch,
            incarnation: Incarnation::new(0),
            status: MemberStatus::Alive,
            addresses: Vec::new(),
            roles: Roles::MEMBER,
            zone: None,
            agent: "forger".to_owned(),
            tags: Vec::new(),
        };
        let bytes = signed::member_bytes(self.identity.realm(), &record).unwrap();
        let signature = self.identity.signer().sign(&bytes);
        Arc::new(SignedRecord { record, signature })
    }

    pub(crate) async fn say(&self, body: impl Into<Body>) {
        let message = Message::from(body.into());
        until(async || {
            let frame = OutFrame::message(&message).unwrap();
            self.link.control().try_push(frame).is_ok()
        })
        .await;
    }

    /// What the other side says of a member.
    async fn record(&mut self, node: NodeId) -> MemberRecord {
        loop {
            let event = within(self.receiver.next()).await;
            let updates = match event {
                LinkEvent::Control(message) => match message.body {
                    Body::SwimState(state) => state.updates,
                    _ => continue,
                },
                LinkEvent::Closed(reason) => panic!("{reason}"),
                _ => continue,
            };
            for update in updates {
                if let Update::Record(known) = update
                    && known.record.node == node
                {
                    return known.record.clone();
                }
            }
        }
    }

    /// A suspicion of one incarnation of `subject`, signed by this member in the name of `accuser`.
    fn suspect(&self, subject: &MemberRecord, incarnation: u64, accuser: NodeId) -> Update {
        let accusation = Accusation {
            subject: subject.node,
            epoch: subject.epoch,
            incarnation: Incarnation::new(incarnation),
            accuser,
        };
        let realm = self.identity.realm();
        let bytes = signed::accusation_bytes(Domain::Suspect, realm, &accusation);
        let signature = self.identity.signer().sign(&bytes);
        Update::Suspect(Arc::new(SignedAccusation {
            accusation,
            signature,
        }))
    }
}

async fn alive(node: &Node) -> u64 {
    node.stats().await.unwrap().members.alive
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_accusations_is_cut_before_signatures_are_checked() {
    const FLOOD: usize = 10_000;
    let realm = Realm::new();
    let [node, victim] = realm.mesh().await;
    let (forger, record) = Forger::join(&realm, &node, victim.node_id()).await;
    until(async || alive(&node).await == 3).await;
    let own = forger.identity.node();
    let begun = std::time::Instant::now();
    let before = node.stats().await.unwrap().counts;
    let accusations: Vec<Update> = (0..FLOOD)
        .map(|number| forger.suspect(&record, u64::try_from(number).unwrap(), own))
        .collect();
    for updates in accusations.chunks(PART) {
        let updates = updates.to_vec();
        forger.say(SwimGossip { updates }).await;
    }
    let flood = u64::try_from(FLOOD).unwrap();
    let counts = async || node.stats().await.unwrap().counts;
    until(async || {
        let after = counts().await;
        let checked = after.signatures_checked - before.signatures_checked;
        after.accusations_unchecked + checked + after.signatures_known >= flood
    })
    .await;
    // Each second that the flood lasted had its share.
    let most = LIMIT * (begun.elapsed().as_secs() + 2);
    let after = counts().await;
    assert!(after.accusations_unchecked >= flood - most, "{after:?}");
    // The first of them was about what the victim is, so it was heard of, and refuted.
    until(async || victim.stats().await.unwrap().membership.refutations > 0).await;
    until(async || {
        let members = node.members().await.unwrap();
        let id = victim.node_id().to_string();
        let known = members.iter().find(|known| known.node == id);
        known.is_some_and(|known| known.state == "alive")
    })
    .await;
    // It only says too much, and all of it is signed as it must be.
    let closed = forger.link.close_reason();
    assert!(closed.is_none_or(|reason| reason.code != ErrorCode::PROTOCOL_VIOLATION));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_more_is_read_of_who_forges() {
    const MORE: usize = 200;
    let realm = Realm::new();
    let [node, victim] = realm.mesh().await;
    let (forger, record) = Forger::join(&realm, &node, victim.node_id()).await;
    let before = node.stats().await.unwrap().counts.signatures_checked;
    for number in 0..MORE {
        let accuser = NodeId::from_bytes([u8::try_from(number).unwrap(); 32]);
        let updates = vec![forger.suspect(&record, 0, accuser)];
        let frame = OutFrame::message(&Message::from(SwimGossip { updates })).unwrap();
        // It never minds that the link was closed.
        if forger.link.control().try_push(frame).is_err() {
            break;
        }
    }
    until(async || node.stats().await.unwrap().links_members == 1).await;
    let counts = node.stats().await.unwrap().counts;
    assert_eq!(counts.misbehaved, 1, "{counts:?}");
    assert!(counts.signatures_checked - before < 10, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_for_another_is_cut_off() {
    let realm = Realm::new();
    let [node, victim] = realm.mesh().await;
    for in_datagram in [false, true] {
        let (mut forger, record) = Forger::join(&realm, &node, victim.node_id()).await;
        let forged = forger.suspect(&record, 0, node.node_id());
        let gossip = SwimGossip {
            updates: vec![forged],
        };
        if in_datagram {
            let bytes = Message::from(gossip).to_bytes().unwrap();
            forger.link.send_datagram(bytes.into()).unwrap();
        } else {
            forger.say(gossip).await;
        }
        let reason = within(async {
            loop {
                if let LinkEvent::Closed(reason) = forger.receiver.next().await {
                    return reason;
                }
            }
        })
        .await;
        assert_eq!(reason.code, ErrorCode::PROTOCOL_VIOLATION, "{reason}");
    }
    let stats = node.stats().await.unwrap();
    assert_eq!(
        (stats.counts.misbehaved, stats.membership.suspicions),
        (2, 0)
    );
}
