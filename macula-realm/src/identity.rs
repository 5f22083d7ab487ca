//! Who this node is: its key and the certificate for it.

use std::fmt;
use std::path::Path;

use macula_wire::limit::MAX_CHAIN;
use macula_wire::{NodeId, RealmName};

use crate::files::{self, Place};
use crate::{Certificate, CertificateError, FileError, NodeKey, NodeSigner, pem};

const CERTIFICATE_FILE: &str = "node.crt";
const KEY_FILE: &str = "node.key";

/// A node's private key and its certificate. Cloning shares the key.
#[derive(Clone)]
pub struct NodeIdentity {
    key: NodeKey,
    certificate: Certificate,
    chain: Vec<Vec<u8>>,
}

impl NodeIdentity {
    /// Brings a key and the chain for it together; the node's certificate comes first, in DER.
    ///
    /// Whether the chain ends in a root of the realm is for [`TrustBundle::check`](crate::TrustBundle::check).
    ///
    /// # Errors
    ///
    /// [`CertificateError::OtherKey`] if they do not belong together, [`CertificateError::ChainTooLong`] over four
    /// certificates, and whatever is wrong with the first certificate.
    pub fn new(key: NodeKey, chain: Vec<Vec<u8>>) -> Result<Self, CertificateError> {
        if chain.len() > MAX_CHAIN {
            return Err(CertificateError::ChainTooLong);
        }
        let leaf = chain.first().ok_or(CertificateError::Malformed)?;
        let certificate = Certificate::from_der(leaf)?;
        if certificate.node() != key.node() {
            return Err(CertificateError::OtherKey);
        }
        Ok(Self {
            key,
            certificate,
            chain,
        })
    }

    /// The node.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.key.node()
    }

    /// The realm that the certificate names.
    #[must_use]
    pub const fn realm(&self) -> &RealmName {
        self.certificate.realm()
    }

    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The chain that is shown to peers, in DER, the node's certificate first.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The private key in PKCS#8 DER. Keep no copy that is not cleared.
    #[must_use]
    pub fn key_pkcs8(&self) -> &[u8] {
        self.key.pkcs8()
    }

    /// What signs with the key.
    #[must_use]
    pub fn signer(&self) -> NodeSigner {
        self.key.signer()
    }

    /// Writes `node.key` (mode 0600) and `node.crt` into `directory`, which is made if it is missing. A
    /// certificate for the same key is replaced, which is how it is renewed.
    ///
    /// # Errors
    ///
    /// [`FileError::Exists`] if another key is there, [`FileError::Unwritable`] otherwise.
    pub fn save(&self, directory: &Path) -> Result<(), FileError> {
        files::prepare(directory)?;
        files::write_key(&directory.join(KEY_FILE), &self.key, Place::NewOrSame)?;
        let mut text = String::new();
        for der in &self.chain {
            text.push_str(&pem::encode(pem::CERTIFICATE, der));
        }
        files::write_public(
            &directory.join(CERTIFICATE_FILE),
            text.as_bytes(),
            Place::Replace,
        )
    }

    /// Reads the certificate of the node that [`save`](Self::save) wrote, without its key.
    ///
    /// # Errors
    ///
    /// See [`FileError`]; the file is named.
    pub fn load_certificate(directory: &Path) -> Result<Certificate, FileError> {
        let path = directory.join(CERTIFICATE_FILE);
        let chain = files::read_certificates(&path)?;
        let leaf = chain.first().map(Vec::as_slice).unwrap_or_default();
        Certificate::from_der(leaf).map_err(|error| FileError::Damaged {
            path,
            why: error.to_string(),
        })
    }

    /// Reads what [`save`](Self::save) writes, or what openssl made to the profile.
    ///
    /// # Errors
    ///
    /// See [`FileError`]; the file is named. A key that is not the certificate's is damage.
    pub fn load(directory: &Path) -> Result<Self, FileError> {
        let path = directory.join(CERTIFICATE_FILE);
        let chain = files::read_certificates(&path)?;
        let key_path = directory.join(KEY_FILE);
        let key = files::read_key(&key_path)?;
        Self::new(key, chain).map_err(|error| FileError::Damaged {
            path: match error == CertificateError::OtherKey {
                true => key_path,
                false => path,
            },
            why: error.to_string(),
        })
    }
}

impl fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeIdentity")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
