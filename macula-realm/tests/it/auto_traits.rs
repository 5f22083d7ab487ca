//! What may go from thread to thread stays so.

use macula_realm::{
    Certificate, CertificateError, FileError, KeyVerifier, NodeIdentity, NodeKey, NodeSigner,
    Principal, RealmRoot, TrustBundle, WebIdentity,
};

fn shared<T: Send + Sync + 'static>() {}

#[test]
fn everything_is_send_and_sync() {
    shared::<Certificate>();
    shared::<CertificateError>();
    shared::<FileError>();
    shared::<KeyVerifier>();
    shared::<NodeIdentity>();
    shared::<NodeKey>();
    shared::<NodeSigner>();
    shared::<Principal>();
    shared::<RealmRoot>();
    shared::<TrustBundle>();
    shared::<WebIdentity>();
}
