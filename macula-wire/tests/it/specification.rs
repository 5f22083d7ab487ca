//! The text of the specification against the code: its tables, its examples, and the bytes that are signed.

use std::path::Path;

use macula_wire::batch::{Batch, Entries};
use macula_wire::message::{
    Accusation, InterestContent, Invoke, MemberRecord, MemberStatus, NodeContent, ProviderContent,
    RecordContent, RecordKind, Roles, RoutingRecord, ValueContent,
};
use macula_wire::{
    ContentType, Domain, Epoch, ErrorCode, Incarnation, Kind, NodeId, Pattern, RealmName,
    RetryHint, Sequence, Topic, TopicAlias, signed,
};

use crate::{from_hex, to_hex};

/// `docs/protocol.md` and its chapters; `None` where the crate lies without its repository.
fn specification() -> Option<String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("docs");
    let mut text = std::fs::read_to_string(docs.join("protocol.md")).ok()?;
    let mut chapters: Vec<_> = std::fs::read_dir(docs.join("protocol"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    chapters.sort();
    for chapter in chapters {
        text.push_str(&std::fs::read_to_string(chapter).ok()?);
    }
    Some(text)
}

/// The rows of all tables, each cell without white space and code marks around it.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().trim_matches('`')).collect()
        })
        .collect()
}

fn hint(hint: RetryHint) -> &'static str {
    match hint {
        RetryHint::No => "no",
        RetryHint::Never => "never",
        RetryHint::Backoff => "backoff",
        RetryHint::After => "after",
        RetryHint::AfterReauth => "after reauth",
        RetryHint::AfterRenew => "after renew",
        RetryHint::OtherPath => "other path",
        RetryHint::ReResolve => "re-resolve",
        RetryHint::IfIdempotent => "if idempotent",
        RetryHint::App => "app",
    }
}

#[test]
fn the_tables_of_the_text_are_those_of_the_code() {
    let Some(text) = specification() else { return };
    let rows = rows(&text);
    for kind in Kind::ALL {
        let number = format!("0x{:02X}", kind.number());
        let found = rows
            .iter()
            .any(|row| row[..2] == [&number[..], kind.name()]);
        assert!(found, "{number} {}", kind.name());
    }
    for code in ErrorCode::ALL {
        let number = format!("0x{:02X}", code.number());
        let status = code.http_status().to_string();
        let row = [&number[..], code.name(), hint(code.retry()), &status[..]];
        assert!(rows.iter().any(|found| found.starts_with(&row)), "{row:?}");
    }
    for known in RetryHint::ALL {
        let tag = known.tag().to_string();
        let row = [hint(*known), &tag[..]];
        assert!(rows.iter().any(|found| found.starts_with(&row)), "{row:?}");
    }
}

/// Each block marked `hex` is a frame that stands in the vectors too.
#[test]
fn the_examples_of_the_text_are_vectors() {
    let Some(text) = specification() else { return };
    let vectors = crate::vectors::valid_hex();
    let mut examples = 0;
    for block in text.split("```hex\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let bytes = block.lines().map(|line| line.split(';').next().unwrap());
        let bytes = to_hex(&from_hex(&bytes.collect::<String>()));
        assert!(vectors.contains(&bytes), "{block}");
        examples += 1;
    }
    assert!(examples >= 10, "{examples}");
}

/// The bytes of a block of the text: pairs of digits, each line up to a semicolon.
fn block(block: &str) -> String {
    let lines = block.lines().map(|line| line.split(';').next().unwrap());
    lines.flat_map(str::split_whitespace).collect()
}

/// Each block that explains its bytes behind semicolons is what the code signs or hashes.
#[test]
fn the_signed_and_hashed_bytes_of_the_text_are_those_of_the_code() {
    let Some(text) = specification() else { return };
    let counting: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
    let accusation = Accusation {
        subject: NodeId::from_bytes(counting),
        epoch: epoch(),
        incarnation: Incarnation::new(2),
        accuser: NodeId::from_bytes(counting.map(|byte| byte + 0x40)),
    };
    let record = provided(NodeId::from_bytes(counting), "temperature.latest");
    let name = record.content.name();
    let made = [
        signed::accusation_bytes(Domain::Suspect, &realm(), &accusation),
        signed::record_bytes(&realm(), &record).unwrap(),
        signed::key_bytes(&realm(), record.content.kind(), name),
        signed::record_id_bytes(&record.owner, &record.content),
    ];
    let blocks = text.split("```text\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    let shown: Vec<String> = blocks
        .filter(|shown| shown.lines().all(|line| line.contains(" ; ")))
        .map(block)
        .collect();
    assert_eq!(shown, made.map(|bytes| to_hex(&bytes)));
}

#[test]
fn every_rule_has_a_number_of_its_own() {
    let Some(text) = specification() else { return };
    let mut rules: Vec<&str> = text
        .split("- **[")
        .skip(1)
        .filter_map(|rest| rest.split_once("]**"))
        .map(|(rule, _)| rule)
        .collect();
    let count = rules.len();
    rules.sort_unstable();
    rules.dedup();
    assert_eq!(rules.len(), count);
    assert!(count > 100, "{count}");
    // What is cited exists.
    for cited in text.split('[').filter_map(|rest| rest.split_once(']')) {
        let (cited, _) = cited;
        let shape = cited.split_once('-').is_some_and(|(subject, number)| {
            subject.len() == 3
                && subject.bytes().all(|byte| byte.is_ascii_uppercase())
                && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        assert!(!shape || rules.contains(&cited), "[{cited}]");
    }
}

const REALM: &str = "0b62652e61636d652e696f74";
const EPOCH: &str = "fd005e56eea1010000";

fn realm() -> RealmName {
    RealmName::new("be.acme.iot").unwrap()
}

fn node(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 32])
}

fn epoch() -> Epoch {
    Epoch::new(1_795_000_000_000)
}

/// A text behind its length.
fn text(text: &str) -> String {
    format!("{:02x}{}", text.len(), to_hex(text.as_bytes()))
}

#[test]
fn an_accusation_is_signed_for_one_purpose() {
    let accusation = Accusation {
        subject: node(1),
        epoch: epoch(),
        incarnation: Incarnation::new(2),
        accuser: node(3),
    };
    let body = format!("{}{EPOCH}02{}", "01".repeat(32), "03".repeat(32));
    for (domain, name) in [
        (Domain::Suspect, "macula/1 suspect"),
        (Domain::Dead, "macula/1 dead"),
    ] {
        let expected = format!("{}{REALM}{body}", text(name));
        let found = signed::accusation_bytes(domain, &realm(), &accusation);
        assert_eq!(to_hex(&found), expected);
    }
}

#[test]
fn a_record_is_signed_as_it_is_encoded() {
    let record = MemberRecord {
        node: node(1),
        epoch: epoch(),
        incarnation: Incarnation::new(2),
        status: MemberStatus::Alive,
        addresses: vec!["192.0.2.7:4433".parse().unwrap()],
        roles: Roles::MEMBER,
        zone: None,
        agent: "m".into(),
        tags: Vec::new(),
    };
    let body = format!("{}{EPOCH}02000100c0000207fb51110100016d00", "01".repeat(32));
    let expected = format!("{}{REALM}{body}", text("macula/1 member"));
    let found = signed::member_bytes(&realm(), &record).unwrap();
    assert_eq!(to_hex(&found), expected);
}

#[test]
fn a_batch_is_signed_with_its_topic_and_without_its_hops() {
    let topic = Topic::new("a.b").unwrap();
    let mut batch = Batch {
        hops: 8,
        publisher: node(1),
        epoch: epoch(),
        alias: TopicAlias::new(7),
        base: Sequence::new(9),
        ttl_ms: Some(5),
        content: ContentType::Json,
        enveloped: false,
        signature: None,
        entries: Entries::from_payloads([&b"1"[..], b"2"]).unwrap(),
    };
    let digest = [0xee; 32];
    let body = format!(
        "{}{EPOCH}{}0901050200{:02x}",
        "01".repeat(32),
        text("a.b"),
        2
    );
    let expected = format!("{}{REALM}{body}{}", text("macula/1 batch"), "ee".repeat(32));
    let found = signed::batch_bytes(&realm(), &topic, &batch, &digest).unwrap();
    assert_eq!(to_hex(&found), expected);
    // What each node on the way and each link may change is not covered.
    batch.hops = 1;
    batch.alias = TopicAlias::new(8);
    let again = signed::batch_bytes(&realm(), &topic, &batch, &digest).unwrap();
    assert_eq!(again, found);
    assert_eq!(to_hex(batch.entries.encoded()), "01310132");
}

fn provided(owner: NodeId, procedure: &str) -> RoutingRecord {
    RoutingRecord {
        owner,
        sequence: 1_795_000_000_000,
        expires_ms: 1_795_003_600_000,
        withdrawn: false,
        content: RecordContent::Provider(ProviderContent {
            pattern: Pattern::new(procedure).unwrap(),
            weight: 1,
            concurrency: 8,
            invoke: Invoke::P2c,
            zone: None,
            since_ms: 1,
            takeover: false,
        }),
    }
}

#[test]
fn a_routing_record_is_signed_for_its_realm() {
    let record = provided(node(1), "a.b");
    let body = format!(
        "{}{EPOCH}fd804c8deea10100000001{}010806000100",
        "01".repeat(32),
        text("a.b")
    );
    let domain = text("macula/1 record");
    let found = signed::record_bytes(&realm(), &record).unwrap();
    assert_eq!(to_hex(&found), format!("{domain}{REALM}{body}"));
    let elsewhere = RealmName::new("be.acme.it").unwrap();
    let found = signed::record_bytes(&elsewhere, &record).unwrap();
    let other = text("be.acme.it");
    assert_eq!(to_hex(&found), format!("{domain}{other}{body}"));
    // What takes it back is another statement.
    let withdrawn = RoutingRecord {
        withdrawn: true,
        ..record
    };
    let found = signed::record_bytes(&realm(), &withdrawn).unwrap();
    let taken = body.replace("a10100000001", "a10100000101");
    assert_eq!(to_hex(&found), format!("{domain}{REALM}{taken}"));
    assert_ne!(taken, body);
}

#[test]
fn what_a_receiver_would_refuse_is_not_signed() {
    let value = |withdrawn, value: &'static [u8]| RoutingRecord {
        withdrawn,
        content: RecordContent::Value(ValueContent {
            name: Topic::new("a").unwrap(),
            content: ContentType::Bytes,
            value: value.into(),
        }),
        ..provided(node(1), "a")
    };
    for accepted in [value(true, b""), value(false, b"v")] {
        assert!(signed::record_bytes(&realm(), &accepted).is_ok());
    }
    assert!(signed::record_bytes(&realm(), &value(true, b"v")).is_err());
}

#[test]
fn a_key_has_its_domain_its_realm_its_kind_and_its_name() {
    let begin = format!("{}{REALM}", text("macula/1 key"));
    for (kind, tag) in [
        (RecordKind::Node, "00"),
        (RecordKind::Provider, "01"),
        (RecordKind::Interest, "02"),
        (RecordKind::Value, "03"),
    ] {
        let found = signed::key_bytes(&realm(), kind, "home");
        assert_eq!(to_hex(&found), format!("{begin}{tag}{}", text("home")));
    }
    // A length of more than 250 takes three bytes, as everywhere.
    let long = "a".repeat(255);
    let found = signed::key_bytes(&realm(), RecordKind::Value, &long);
    let expected = format!("{begin}03fbff00{}", to_hex(long.as_bytes()));
    assert_eq!(to_hex(&found), expected);
}

#[test]
fn a_node_stands_at_the_hash_of_its_id_alone() {
    assert_eq!(signed::position_bytes(&node(7)), &[7; 32]);
}

#[test]
fn a_record_id_has_its_owner_its_kind_and_its_whole_name() {
    let contents = [
        RecordContent::Node(NodeContent {
            addresses: vec!["192.0.2.7:4433".parse().unwrap()],
            tags: Vec::new(),
            neighbours: vec![node(9)],
        }),
        RecordContent::Provider(ProviderContent {
            pattern: Pattern::new("a.b").unwrap(),
            weight: 9,
            concurrency: 8,
            invoke: Invoke::P2c,
            zone: None,
            since_ms: 1,
            takeover: false,
        }),
        RecordContent::Interest(InterestContent::each(Pattern::new("a.*").unwrap())),
        RecordContent::Value(ValueContent {
            name: Topic::new("a.b").unwrap(),
            content: ContentType::Json,
            value: "{}".into(),
        }),
    ];
    let expected = ["00", "01612e62", "02612e2a", "03612e62"];
    for (content, expected) in contents.iter().zip(expected) {
        let found = signed::record_id_bytes(&node(1), content);
        assert_eq!(to_hex(&found), format!("{}{expected}", "01".repeat(32)));
    }
}
