//! Files: written for their owner, read only if whole.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use macula_realm::{FileError, IssueRequest, NodeIdentity, NodeKey, RealmRoot, TrustBundle};
use macula_wire::RealmName;
use tempfile::TempDir;

use crate::forge::{NOW, OURS};

/// A realm's directory `realm` and a node's directory `node`.
struct Place {
    directory: TempDir,
    root: RealmRoot,
    node: NodeIdentity,
}

impl Place {
    fn new() -> Self {
        let realm = RealmName::new(OURS).unwrap();
        let root = RealmRoot::create(realm, NOW, RealmRoot::DEFAULT_VALIDITY).unwrap();
        let node = root.issue(&IssueRequest::default(), NOW).unwrap();
        let directory = tempfile::tempdir().unwrap();
        root.save(&directory.path().join("realm")).unwrap();
        node.save(&directory.path().join("node")).unwrap();
        root.bundle().save(&directory.path().join("node")).unwrap();
        Self {
            directory,
            root,
            node,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Loads everything; the first error, if there is one.
    fn load(&self) -> Result<(), FileError> {
        RealmRoot::load(&self.path("realm"))?;
        NodeIdentity::load(&self.path("node"))?;
        TrustBundle::load(&self.path("node")).map(|_bundle| ())
    }
}

/// All files with what loading them needs.
const FILES: [&str; 6] = [
    "realm/root.crt",
    "realm/root.key",
    "realm/realm.trust",
    "node/node.crt",
    "node/node.key",
    "node/realm.trust",
];

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[track_caller]
fn damaged(loaded: Result<(), FileError>, path: &Path) {
    match loaded {
        Err(error @ FileError::Damaged { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&path.display().to_string()), "{text}");
            assert!(text.contains("restore it"), "{text}");
        }
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn what_is_saved_is_loaded() {
    let place = Place::new();
    let root = RealmRoot::load(&place.path("realm")).unwrap();
    assert_eq!(root.bundle(), place.root.bundle());
    assert_eq!(root.certificate(), place.root.certificate());
    let node = NodeIdentity::load(&place.path("node")).unwrap();
    assert_eq!(node.certificate(), place.node.certificate());
    assert_eq!(node.chain(), place.node.chain());
    assert_eq!(node.key_pkcs8(), place.node.key_pkcs8());
    let bundle = TrustBundle::load(&place.path("node")).unwrap();
    assert_eq!(&bundle, place.root.bundle());

    let again = root.issue(&IssueRequest::default(), NOW).unwrap();
    assert!(bundle.check(&[&again.chain()[0]], NOW).is_ok());
}

#[test]
fn keys_are_for_their_owner_and_nothing_is_left_over() {
    let place = Place::new();
    assert_eq!(mode(&place.path("realm")), 0o700);
    assert_eq!(mode(&place.path("node")), 0o700);
    assert_eq!(mode(&place.path("realm/root.key")), 0o600);
    assert_eq!(mode(&place.path("node/node.key")), 0o600);
    let expected = |names: [&str; 3]| names.map(str::to_owned).into();
    assert_eq!(
        names(&place.path("realm")),
        expected(["root.crt", "root.key", "realm.trust"])
    );
    assert_eq!(
        names(&place.path("node")),
        expected(["node.crt", "node.key", "realm.trust"])
    );
}

#[test]
fn a_key_that_others_can_reach_is_not_read() {
    let place = Place::new();
    for name in ["realm/root.key", "node/node.key"] {
        let path = place.path(name);
        for open in [0o640, 0o604, 0o660, 0o644, 0o620, 0o601, 0o777] {
            fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
            let error = place.load().unwrap_err();
            let text = error.to_string();
            assert!(
                matches!(error, FileError::Permissions { mode, .. } if mode == open),
                "{text}"
            );
            assert!(text.contains(&format!("chmod 600 {}", path.display())));
        }
        for closed in [0o600, 0o400] {
            fs::set_permissions(&path, Permissions::from_mode(closed)).unwrap();
            place.load().unwrap();
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    for name in FILES {
        let place = Place::new();
        fs::remove_file(place.path(name)).unwrap();
        let error = place.load().unwrap_err();
        assert!(
            matches!(&error, FileError::Missing { path } if *path == place.path(name)),
            "{error}"
        );
        assert!(error.to_string().contains("macula init"));
    }
    let nowhere = tempfile::tempdir().unwrap().path().join("x");
    assert!(matches!(
        NodeIdentity::load(&nowhere),
        Err(FileError::Missing { .. })
    ));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    for name in FILES {
        let place = Place::new();
        let path = place.path(name);
        fs::remove_file(&path).unwrap();
        symlink(&path, &path).unwrap();
        let error = place.load().unwrap_err();
        assert!(
            matches!(&error, FileError::Unreadable { path: found, .. } if *found == path),
            "{error}"
        );
    }
}

#[test]
fn damage_of_every_kind_is_named() {
    for name in FILES {
        let place = Place::new();
        let path = place.path(name);
        let good = fs::read(&path).unwrap();
        let half = good[..good.len() / 2].to_vec();
        let cut = good[..good.len() - 30].to_vec();
        let mut changed = String::from_utf8(good.clone()).unwrap();
        let middle = changed.len() - 60;
        let other = if changed.as_bytes()[middle] == b'A' {
            "B"
        } else {
            "A"
        };
        changed.replace_range(middle..=middle, other);
        for bad in [
            Vec::new(),
            b"\n".to_vec(),
            vec![0xff; 200],
            vec![0; 200],
            half,
            cut,
            good.repeat(9),
            vec![b'x'; (1 << 20) + 1],
            b"-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n".to_vec(),
            changed.into_bytes(),
        ] {
            fs::write(&path, &bad).unwrap();
            match name {
                // A changed signature of the node's certificate is for the check of the chain to notice.
                "node/node.crt" if bad.len() == good.len() => {
                    let node = NodeIdentity::load(&place.path("node"));
                    let bundle = place.root.bundle();
                    assert!(
                        node.is_err() || bundle.check(&[&node.unwrap().chain()[0]], NOW).is_err()
                    );
                }
                _ => damaged(place.load(), &path),
            }
        }
        fs::write(&path, &good).unwrap();
        place.load().unwrap();
    }
}

#[test]
fn a_file_has_at_most_a_mebibyte() {
    for name in [
        "realm/root.crt",
        "realm/root.key",
        "node/node.crt",
        "node/node.key",
    ] {
        let place = Place::new();
        let path = place.path(name);
        // Text after the last section is allowed, as RFC 7468 asks.
        let mut bytes = fs::read(&path).unwrap();
        bytes.resize(1 << 20, b'\n');
        fs::write(&path, &bytes).unwrap();
        place.load().unwrap();
        bytes.push(b'\n');
        fs::write(&path, &bytes).unwrap();
        damaged(place.load(), &path);
    }
}

#[test]
fn a_certificate_can_be_read_without_its_key() {
    let place = Place::new();
    let directory = place.path("node");
    fs::remove_file(place.path("node/node.key")).unwrap();
    let certificate = NodeIdentity::load_certificate(&directory).unwrap();
    assert_eq!(&certificate, place.node.certificate());

    let root = fs::read(place.path("realm/root.crt")).unwrap();
    fs::write(place.path("node/node.crt"), root).unwrap();
    let loaded = NodeIdentity::load_certificate(&directory).map(|_certificate| ());
    damaged(loaded, &place.path("node/node.crt"));
}

#[test]
fn only_regular_files_are_read() {
    for name in FILES {
        let place = Place::new();
        let path = place.path(name);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        damaged(place.load(), &path);
        fs::remove_dir(&path).unwrap();
        let socket = UnixListener::bind(&path).unwrap();
        damaged(place.load(), &path);
        drop(socket);
    }
}

#[test]
fn a_key_of_another_certificate_is_damage() {
    let place = Place::new();
    let other = Place::new();
    for name in ["node/node.key", "realm/root.key"] {
        let good = fs::read(place.path(name)).unwrap();
        fs::write(place.path(name), fs::read(other.path(name)).unwrap()).unwrap();
        damaged(place.load(), &place.path(name));
        fs::write(place.path(name), good).unwrap();
        place.load().unwrap();
    }
    let bundle = fs::read(other.path("realm/realm.trust")).unwrap();
    fs::write(place.path("realm/realm.trust"), bundle).unwrap();
    damaged(place.load(), &place.path("realm/root.crt"));
}

#[test]
fn a_key_is_never_replaced_by_another() {
    let place = Place::new();
    let key = fs::read(place.path("realm/root.key")).unwrap();
    let other = Place::new();
    for root in [&place.root, &other.root] {
        assert!(matches!(
            root.save(&place.path("realm")),
            Err(FileError::Exists { path }) if path == place.path("realm/root.key")
        ));
    }
    assert!(matches!(
        other.node.save(&place.path("node")),
        Err(FileError::Exists { path }) if path == place.path("node/node.key")
    ));
    assert_eq!(fs::read(place.path("realm/root.key")).unwrap(), key);
    assert_eq!(names(&place.path("realm")).len(), 3);
    place.load().unwrap();

    fs::write(place.path("node/node.key"), "what somebody may still want").unwrap();
    assert!(matches!(
        place.node.save(&place.path("node")),
        Err(FileError::Exists { .. })
    ));
}

#[test]
fn a_certificate_is_renewed_in_place() {
    let place = Place::new();
    let key = NodeKey::from_pkcs8(place.node.key_pkcs8()).unwrap();
    let chain = place
        .root
        .issue_for(key.node(), &IssueRequest::default(), NOW + 10)
        .unwrap();
    let renewed = NodeIdentity::new(key, chain).unwrap();
    renewed.save(&place.path("node")).unwrap();
    let loaded = NodeIdentity::load(&place.path("node")).unwrap();
    assert_eq!(loaded.certificate(), renewed.certificate());
    assert_ne!(loaded.certificate(), place.node.certificate());
    assert_eq!(names(&place.path("node")).len(), 3);
}

#[test]
fn what_cannot_be_written_is_named() {
    let place = Place::new();
    let under_a_file = place.path("node/node.crt");
    let error = place.node.save(&under_a_file).unwrap_err();
    assert!(matches!(error, FileError::Unwritable { .. }), "{error}");
    fs::create_dir(place.path("blocked")).unwrap();
    fs::create_dir(place.path("blocked/realm.trust")).unwrap();
    let error = place
        .root
        .bundle()
        .save(&place.path("blocked"))
        .unwrap_err();
    assert!(matches!(error, FileError::Unwritable { .. }), "{error}");
    assert_eq!(names(&place.path("blocked")).len(), 1);
}
