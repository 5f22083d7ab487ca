//! What is admitted, and what is given back.

use super::*;

fn limits(change: impl FnOnce(&mut Config)) -> Arc<Limits> {
    let mut config = Config::default();
    change(&mut config);
    Limits::new(&config)
}

fn ip(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 4_433))
}

fn forwarded(last: u8) -> SocketAddr {
    SocketAddr::from(([239, 0, 0, last], 1))
}

#[track_caller]
fn admitted(admission: Admission) -> Permit {
    let Admission::Admitted(permit) = admission else {
        panic!("{admission:?}")
    };
    permit
}

#[test]
fn an_address_has_its_share_and_gets_it_back() {
    let limits = limits(|config| config.max_connections_per_ip = 2);
    let first = admitted(limits.admit(ip(1), true));
    let _second = admitted(limits.admit(ip(1), true));
    let third = limits.admit(ip(1), true);
    assert!(matches!(third, Admission::Refused("address")));
    let _other = admitted(limits.admit(ip(2), true));
    drop(first);
    let _third = admitted(limits.admit(ip(1), true));
    assert_eq!(limits.refused(), BTreeMap::from([("address", 1)]));
    assert_eq!(limits.counts(), (3, 3));
}

#[test]
fn many_handshakes_ask_for_proof_before_they_are_refused() {
    let limits = limits(|config| {
        config.max_pending_handshakes = 2;
        config.max_connections_per_ip = 100;
    });
    let mut held = vec![
        admitted(limits.admit(ip(1), false)),
        admitted(limits.admit(ip(2), false)),
    ];
    assert!(matches!(limits.admit(ip(3), false), Admission::Prove));
    for last in 3..13 {
        held.push(admitted(limits.admit(ip(last), true)));
    }
    let one_more = limits.admit(ip(13), true);
    assert!(matches!(one_more, Admission::Refused("handshakes")));
    assert!(held[0].proven());
    held.push(admitted(limits.admit(ip(13), true)));
    drop(held);
    assert_eq!(limits.counts(), (0, 0));
    assert!(limits.lock().sources.is_empty());
}

#[test]
fn forged_attempts_do_not_use_up_the_share_of_an_address() {
    let limits = limits(|config| config.max_connections_per_ip = 4);
    let _forged = admitted(limits.admit(ip(1), false));
    assert!(matches!(limits.admit(ip(1), false), Admission::Prove));
    let _held: Vec<Permit> = (0..4)
        .map(|_| admitted(limits.admit(ip(1), true)))
        .collect();
    assert!(matches!(limits.admit(ip(1), true), Admission::Refused(_)));
}

#[test]
fn an_identity_has_its_share_by_role() {
    let limits = limits(|config| config.max_client_links_per_identity = 1);
    let realm = RealmName::new("be.acme").unwrap();
    let node = NodeId::default();
    let held = limits.identify(&realm, node, Role::Client);
    assert!(held.is_some());
    assert!(limits.identify(&realm, node, Role::Client).is_none());
    assert!(limits.identify(&realm, node, Role::Member).is_some());
    drop(held);
    assert!(limits.identify(&realm, node, Role::Client).is_some());
}

#[test]
fn one_host_counts_as_one_address() {
    let of = |text: &str| Source::of(SocketAddr::new(text.parse().unwrap(), 1));
    assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
}

#[test]
fn each_forwarded_node_counts_as_one_address() {
    let of = |text: &str| Source::of(text.parse().unwrap());
    let network = "fd6b:9c2e:51d7:7a03";
    assert_ne!(
        of(&format!("[{network}::1]:1")),
        of(&format!("[{network}::2]:1"))
    );
    assert_ne!(of("239.0.0.1:1"), of("239.0.0.1:2"));
    let limits = limits(|config| config.max_connections_per_ip = 1);
    let _one = admitted(limits.admit(forwarded(1), true));
    let second = limits.admit(forwarded(1), true);
    assert!(matches!(second, Admission::Refused("address")));
    let _other = admitted(limits.admit(forwarded(2), true));
}

#[test]
fn a_flood_by_forwarding_leaves_udp_its_handshakes() {
    let limits = limits(|config| config.max_pending_forwarded_handshakes = 1);
    let mut held = vec![admitted(limits.admit(forwarded(1), false))];
    assert!(matches!(
        limits.admit(forwarded(2), false),
        Admission::Prove
    ));
    for last in 2..9 {
        held.push(admitted(limits.admit(forwarded(last), true)));
    }
    let more = limits.admit(forwarded(9), true);
    assert!(matches!(more, Admission::Refused("forwarded handshakes")));
    let direct = admitted(limits.admit(ip(1), false));
    assert_eq!(limits.counts(), (9, 9));
    assert!(held[0].proven());
    held.push(admitted(limits.admit(forwarded(9), true)));
    drop((held, direct));
    assert_eq!(limits.counts(), (0, 0));
    assert!(limits.lock().sources.is_empty());
}
