//! The top of a realm: it issues certificates, and is otherwise kept offline.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use macula_wire::{NodeId, RealmName};
use rcgen::Issuer;
use rustls_pki_types::CertificateDer;

use crate::anchor::RootCertificate;
use crate::files::{self, Place};
use crate::issue::{IssueRequest, Span, node_params, root_certificate};
use crate::key::PublicKey;
use crate::{FileError, IssueError, NodeIdentity, NodeKey, TrustBundle, pem};

const CERTIFICATE_FILE: &str = "root.crt";
const KEY_FILE: &str = "root.key";
/// How long a root is valid unless it was asked otherwise: ten years of 365 days.
const DEFAULT_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A realm's root: the key that signs the certificates of its nodes, and the realm's trust bundle.
///
/// Who has the key can make nodes of the realm. It is needed for issuing only.
///
/// # Examples
///
/// ```
/// use macula_realm::{IssueRequest, RealmRoot};
/// use macula_wire::RealmName;
///
/// let now = 1_800_000_000;
/// let realm = RealmName::new("be.acme.iot")?;
/// let root = RealmRoot::create(realm, now, RealmRoot::DEFAULT_VALIDITY)?;
/// let node = root.issue(&IssueRequest::default(), now)?;
///
/// let chain: Vec<&[u8]> = node.chain().iter().map(Vec::as_slice).collect();
/// let certificate = root.bundle().check(&chain, now)?;
/// assert_eq!(certificate.node(), node.node());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RealmRoot {
    certificate: RootCertificate,
    key: NodeKey,
    bundle: TrustBundle,
}

impl RealmRoot {
    /// Ten years.
    pub const DEFAULT_VALIDITY: Duration = DEFAULT_VALIDITY;

    /// A new root with a new key, valid from five minutes before `now_unix_s`, and the bundle of a new realm.
    ///
    /// # Errors
    ///
    /// [`IssueError::Validity`] if `validity` is under a second, [`IssueError::Failed`] without randomness.
    pub fn create(
        realm: RealmName,
        now_unix_s: u64,
        validity: Duration,
    ) -> Result<Self, IssueError> {
        let key = NodeKey::generate()?;
        let der = root_certificate(&realm, &key, Span::starting(now_unix_s, validity)?)?;
        let certificate = RootCertificate::from_der(&der).map_err(IssueError::Failed)?;
        let bundle = TrustBundle::create(realm, certificate.clone())?;
        Ok(Self {
            certificate,
            key,
            bundle,
        })
    }

    /// The realm.
    #[must_use]
    pub const fn realm(&self) -> &RealmName {
        self.bundle.realm()
    }

    /// The root's own certificate.
    #[must_use]
    pub const fn certificate(&self) -> &RootCertificate {
        &self.certificate
    }

    /// What the nodes of the realm have to know.
    #[must_use]
    pub const fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// A new node: a new key and the certificate for it.
    ///
    /// # Errors
    ///
    /// See [`IssueError`]. What is returned has passed the check of the realm's own bundle.
    pub fn issue(
        &self,
        request: &IssueRequest,
        now_unix_s: u64,
    ) -> Result<NodeIdentity, IssueError> {
        let key = NodeKey::generate()?;
        let chain = self.issue_for(key.node(), request, now_unix_s)?;
        NodeIdentity::new(key, chain).map_err(IssueError::Unusable)
    }

    /// The chain, in DER, for a node that made its key itself or renews its certificate.
    ///
    /// It is valid from five minutes before `now_unix_s` and ends with the root at the latest. That the node has
    /// the key is not asked: a certificate is of no use without it.
    ///
    /// # Errors
    ///
    /// See [`IssueError`]. What is returned has passed the check of the realm's own bundle.
    pub fn issue_for(
        &self,
        node: NodeId,
        request: &IssueRequest,
        now_unix_s: u64,
    ) -> Result<Vec<Vec<u8>>, IssueError> {
        let life = Span {
            first: self.certificate.not_before(),
            last: self.certificate.not_after(),
        };
        let span = Span::starting(now_unix_s, request.validity)?.within(life, now_unix_s)?;
        let params = node_params(self.realm(), node, request, span)?;
        let root = CertificateDer::from(self.certificate.der());
        let issuer = Issuer::from_ca_cert_der(&root, &self.key)
            .map_err(|_| IssueError::Failed("the root was refused"))?;
        let certificate = params
            .signed_by(&PublicKey(node), &issuer)
            .map_err(|_| IssueError::Failed("the certificate was refused"))?;
        let der = certificate.der().to_vec();
        self.bundle
            .check(&[&der], now_unix_s)
            .map_err(IssueError::Unusable)?;
        Ok(vec![der])
    }

    /// Writes `root.key` (mode 0600), `root.crt` and `realm.trust` into `directory`, which is made if it is
    /// missing.
    ///
    /// # Errors
    ///
    /// [`FileError::Exists`] if a root is there already: a root that is overwritten is lost.
    /// [`FileError::Unwritable`] otherwise.
    pub fn save(&self, directory: &Path) -> Result<(), FileError> {
        files::prepare(directory)?;
        let certificate = pem::encode(pem::CERTIFICATE, self.certificate.der());
        files::write_key(&directory.join(KEY_FILE), &self.key, Place::New)?;
        files::write_public(
            &directory.join(CERTIFICATE_FILE),
            certificate.as_bytes(),
            Place::Replace,
        )?;
        self.bundle.save(directory)
    }

    /// Reads what [`save`](Self::save) writes, or what openssl made to the profile.
    ///
    /// # Errors
    ///
    /// See [`FileError`]; the file is named. A key that is not the certificate's, and a root that the bundle does
    /// not name, are damage.
    pub fn load(directory: &Path) -> Result<Self, FileError> {
        let path = directory.join(CERTIFICATE_FILE);
        let damaged = |why: &str| FileError::Damaged {
            path: path.clone(),
            why: why.to_owned(),
        };
        let chain = files::read_certificates(&path)?;
        let [der] = chain.as_slice() else {
            return Err(damaged("it holds more than one certificate"));
        };
        let certificate = RootCertificate::from_der(der)
            .map_err(|why| damaged(&format!("the certificate {why}")))?;
        let bundle = TrustBundle::load(directory)?;
        if !bundle.roots().contains(&certificate) {
            return Err(damaged("realm.trust does not name this root"));
        }
        let key_path = directory.join(KEY_FILE);
        let key = files::read_key(&key_path)?;
        if !certificate.has_key(key.node()) {
            return Err(FileError::Damaged {
                path: key_path,
                why: "the key does not belong to root.crt".to_owned(),
            });
        }
        Ok(Self {
            certificate,
            key,
            bundle,
        })
    }
}

impl fmt::Debug for RealmRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealmRoot")
            .field("realm", self.realm())
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
