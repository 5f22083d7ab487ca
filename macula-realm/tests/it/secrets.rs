//! No key gets into a log.

use std::fmt::Debug;
use std::fs;

use macula_realm::{IssueRequest, NodeIdentity, NodeKey, RealmRoot, web_identity};
use macula_wire::RealmName;

use crate::forge::{NOW, OURS};

/// How secret bytes could look in a text.
fn spellings(secret: &[u8]) -> Vec<String> {
    let joined = |separator: &str, spell: fn(&u8) -> String| {
        secret.iter().map(spell).collect::<Vec<_>>().join(separator)
    };
    let base64: Vec<u8> = secret.to_vec();
    vec![
        joined("", |byte| format!("{byte:02x}")),
        joined("", |byte| format!("{byte:02X}")),
        joined(", ", |byte| format!("{byte}")),
        joined(", ", |byte| format!("{byte:#x}")),
        encode(&base64),
    ]
}

/// Base64 without padding, long enough to be found.
fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks_exact(3) {
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for shift in [18, 12, 6, 0] {
            out.push(char::from(
                DIGITS[usize::try_from(bits >> shift & 63).unwrap()],
            ));
        }
    }
    out
}

#[track_caller]
fn silent(shown: &impl Debug, secret: &[u8]) {
    for text in [
        format!("{shown:?}"),
        format!("{shown:#?}").replace([' ', '\n'], ""),
    ] {
        for spelling in spellings(secret) {
            assert!(!text.contains(&spelling), "{text}");
            assert!(!text.contains(&spelling.replace(' ', "")), "{text}");
        }
    }
}

#[test]
fn the_test_finds_a_key_that_is_shown() {
    let secret: Vec<u8> = (100..132).collect();
    let found = |text: String| {
        spellings(&secret)
            .iter()
            .any(|spelling| text.contains(spelling))
    };
    assert!(found(format!("{secret:?}")));
    assert!(found(format!("{secret:02x?}").replace(", ", "")));
    assert!(found(format!("x{}", encode(&secret))));
}

#[test]
fn nothing_that_holds_a_key_shows_it() {
    let realm = RealmName::new(OURS).unwrap();
    let root = RealmRoot::create(realm, NOW, RealmRoot::DEFAULT_VALIDITY).unwrap();
    let node = root.issue(&IssueRequest::default(), NOW).unwrap();
    let key = NodeKey::from_pkcs8(node.key_pkcs8()).unwrap();
    let seed = &node.key_pkcs8()[16..];
    assert_eq!(seed.len(), 32);
    silent(&node, seed);
    silent(&key, seed);
    silent(&node.signer(), seed);

    let directory = tempfile::tempdir().unwrap();
    root.save(directory.path()).unwrap();
    let pem = fs::read_to_string(directory.path().join("root.key")).unwrap();
    let base64 = pem.lines().nth(1).unwrap();
    // The 16 bytes before the secret end within a group of four characters.
    assert!(!format!("{root:?} {root:#?}").contains(&base64[24..]));

    let web = web_identity(&["node.example"], NOW).unwrap();
    silent(&web, &web.key_pkcs8()[36..68]);
}

#[test]
fn an_error_about_a_key_shows_nothing_of_it() {
    let realm = RealmName::new(OURS).unwrap();
    let root = RealmRoot::create(realm, NOW, RealmRoot::DEFAULT_VALIDITY).unwrap();
    let node = root.issue(&IssueRequest::default(), NOW).unwrap();
    let directory = tempfile::tempdir().unwrap();
    node.save(directory.path()).unwrap();
    let path = directory.path().join("node.key");
    let pem = fs::read_to_string(&path).unwrap();
    let base64 = pem.lines().nth(1).unwrap().to_owned();
    for bad in [
        pem.replace("-----END", "=\n-----END"),
        pem.replace(&base64, &base64[..40]),
        pem.replace("MC4CAQ", "MC4CAg"),
    ] {
        fs::write(&path, bad).unwrap();
        let error = NodeIdentity::load(directory.path()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains(&base64[24..36]), "{text}");
    }
}
