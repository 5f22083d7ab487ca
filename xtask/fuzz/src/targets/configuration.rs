//! The files of a node: its configuration, and the members that it remembers.

use std::fmt::Write;
use std::path::Path;

use macula::{MemberList, NodeConfig};
use macula_wire::RealmName;

/// A file is refused, or what it says is written and read again.
pub fn node(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let path = Path::new("node.toml");
    match NodeConfig::parse(path, text) {
        Ok(config) => {
            let again = NodeConfig::parse(path, &config.to_text());
            assert_eq!(again.expect("it was written by us"), config);
        }
        Err(error) => assert!(error.to_string().starts_with("node.toml: ")),
    }
}

/// A list of members is refused, or is written again as it was read. The bytes are tried as they are, and behind a first
/// line that fits them.
pub fn members(data: &[u8]) {
    let realm: RealmName = "be.acme.iot".parse().expect("a name");
    reads_as_written(&realm, data);
    let Some((count, body)) = data.split_first_chunk() else {
        return;
    };
    let mut line = format!("macula-members 1 {realm} {} ", u16::from_be_bytes(*count));
    for byte in macula_realm::sha256(body) {
        write!(line, "{byte:02x}").expect("memory");
    }
    line.push('\n');
    reads_as_written(&realm, &[line.as_bytes(), body].concat());
}

fn reads_as_written(realm: &RealmName, data: &[u8]) {
    if let Ok(list) = MemberList::from_bytes(realm, data) {
        assert_eq!(list.to_bytes(), data);
        assert!(list.records().len() <= MemberList::MAX_RECORDS);
    }
}
