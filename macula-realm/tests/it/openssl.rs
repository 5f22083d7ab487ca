//! openssl makes what we accept, and accepts what we make.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use macula_realm::{
    CertificateError, FileError, IssueRequest, NodeIdentity, RealmRoot, TrustBundle,
};
use macula_wire::RealmName;
use macula_wire::message::Roles;
use tempfile::TempDir;

use crate::forge::{NOW, OURS};

const README: &str = include_str!("../../README.md");

/// The block of the README that opens with this fence.
fn block(fence: &str) -> &'static str {
    let (_before, rest) = README.split_once(&format!("```{fence}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// Whether openssl is here; the reason if a test has to be skipped is printed.
fn openssl_is_here() -> bool {
    let here = Command::new("openssl").arg("version").output().is_ok();
    if !here {
        eprintln!("skipped: there is no command `openssl` on this machine");
    }
    here
}

fn run(directory: &Path, script: &str) -> Output {
    Command::new("sh")
        .args(["-e", "-c", script])
        .current_dir(directory)
        .output()
        .unwrap()
}

/// What the commands of the README make with the configuration of the README, both perhaps changed.
#[track_caller]
fn made(config: &str, script: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("macula.cnf"), config).unwrap();
    let output = run(directory.path(), script);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    directory
}

/// Loads the node that was made and checks it at the first second of its validity.
fn judged(directory: &TempDir) -> Result<NodeIdentity, String> {
    let reason = |error: FileError| match error {
        FileError::Damaged { why, .. } => why,
        other => other.to_string(),
    };
    let node = NodeIdentity::load(&directory.path().join("node")).map_err(reason)?;
    let bundle = TrustBundle::load(&directory.path().join("node")).map_err(reason)?;
    let now = node.certificate().not_before();
    bundle
        .check(&[&node.chain()[0]], now)
        .map_err(|error| error.to_string())?;
    Ok(node)
}

#[test]
fn certificates_of_openssl_are_accepted() {
    if !openssl_is_here() {
        return;
    }
    let directory = made(block("ini"), block("sh"));
    let node = judged(&directory).unwrap();
    let certificate = node.certificate();
    assert_eq!(certificate.realm().as_str(), OURS);
    assert_eq!(certificate.roles(), Roles::MEMBER.with(Roles::CLIENT));
    assert_eq!(certificate.tenant().unwrap().as_str(), "solar");
    assert_eq!(certificate.zone().unwrap().as_str(), "ghent");

    let root = RealmRoot::load(&directory.path().join("realm")).unwrap();
    let now = root.certificate().not_before();
    let ours = root.issue(&IssueRequest::default(), now).unwrap();
    assert!(root.bundle().check(&[&ours.chain()[0]], now).is_ok());
}

#[test]
fn openssl_may_leave_out_what_is_optional() {
    if !openssl_is_here() {
        return;
    }
    let config = block("ini")
        .replace("tenant = IMPLICIT:0,UTF8:solar\n", "")
        .replace("INTEGER:3", "INTEGER:300")
        .replace("URI:$ENV", "critical, URI:$ENV");
    let directory = made(&config, block("sh"));
    let node = judged(&directory).unwrap();
    assert_eq!(node.certificate().roles().bits(), 300);
    assert_eq!(node.certificate().tenant(), None);
    assert_eq!(node.certificate().zone().unwrap().as_str(), "ghent");
}

#[test]
fn what_openssl_makes_off_the_profile_is_refused() {
    if !openssl_is_here() {
        return;
    }
    let profile = |why| CertificateError::Profile(why).to_string();
    let bad_extension = "the private extension is not in its one legal encoding";
    for (from, to, expected) in [
        ("IMPLICIT:0,", "EXPLICIT:0,", profile(bad_extension)),
        ("UTF8:solar", "UTF8:Solar", profile(bad_extension)),
        (
            "INTEGER:3",
            "INTEGER:0",
            profile("the certificate allows no role"),
        ),
        (
            "INTEGER:1\n",
            "INTEGER:2\n",
            profile("the private extension has another version than 1"),
        ),
        (
            "critical, digitalSignature",
            "digitalSignature",
            CertificateError::KeyUsage.to_string(),
        ),
        (
            "clientAuth, serverAuth",
            "serverAuth",
            CertificateError::KeyUsage.to_string(),
        ),
        (
            "URI:$ENV::NODE_URI",
            "URI:$ENV::NODE_URI, URI:$ENV::NODE_URI",
            CertificateError::SeveralUris.to_string(),
        ),
        (
            "URI:$ENV::NODE_URI",
            "URI:$ENV::NODE_URI/",
            CertificateError::BadUri.to_string(),
        ),
        (
            "[node]\n",
            "[node]\nbasicConstraints = CA:TRUE\n",
            CertificateError::IsCa.to_string(),
        ),
    ] {
        let config = block("ini").replace(from, to);
        assert_ne!(config, block("ini"), "{from}");
        let directory = made(&config, block("sh"));
        assert_eq!(judged(&directory).err(), Some(expected), "{to}");
    }
}

#[test]
fn an_rsa_key_is_refused() {
    if !openssl_is_here() {
        return;
    }
    let script = block("sh").replace(
        "-algorithm ed25519 -out node/node.key",
        "-algorithm rsa -out node/node.key",
    );
    let directory = made(block("ini"), &script);
    let why = judged(&directory).err().unwrap();
    assert!(why.contains("not an Ed25519 private key"), "{why}");

    // With a good key beside it, the certificate itself is what is wrong.
    let good = made(block("ini"), block("sh"));
    fs::copy(
        good.path().join("node/node.key"),
        directory.path().join("node/node.key"),
    )
    .unwrap();
    assert_eq!(
        judged(&directory).err(),
        Some(CertificateError::KeyType.to_string())
    );
}

#[test]
fn openssl_accepts_what_we_make() {
    if !openssl_is_here() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let realm = RealmName::new(OURS).unwrap();
    let root = RealmRoot::create(realm, NOW, RealmRoot::DEFAULT_VALIDITY).unwrap();
    root.save(directory.path()).unwrap();
    let node = root.issue(&IssueRequest::default(), NOW).unwrap();
    node.save(directory.path()).unwrap();
    for script in [
        format!(
            "openssl verify -x509_strict -attime {NOW} -purpose sslclient -CAfile root.crt node.crt"
        ),
        format!("openssl verify -attime {NOW} -purpose sslserver -CAfile root.crt node.crt"),
        "openssl pkey -in root.key -noout".to_owned(),
        "test \"$(openssl pkey -in node.key -pubout)\" = \"$(openssl x509 -in node.crt -noout -pubkey)\""
            .to_owned(),
    ] {
        let output = run(directory.path(), &script);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {text}");
    }
    // A later time is refused, so the time was looked at.
    let late = NOW + 31 * 24 * 60 * 60;
    let output = run(
        directory.path(),
        &format!("openssl verify -attime {late} -CAfile root.crt node.crt"),
    );
    assert!(!output.status.success());
}
