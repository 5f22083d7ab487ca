//! Which certificate an accepting endpoint shows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{ALPN_HTTP, ALPN_LINK, certified, decoy, is_label};
use crate::credentials::{Credentials, TlsIdentity};
use crate::error::BindError;

/// Chooses by ALPN, and for links by the label in SNI.
///
/// An unknown label gets a decoy, because in TLS 1.3 the acceptor shows its certificate first: whoever guesses labels
/// learns neither which realms are here nor that the label was wrong.
#[derive(Debug)]
pub(super) struct Resolver {
    realms: BTreeMap<String, Presented>,
    decoy: Arc<CertifiedKey>,
    web: Option<Arc<CertifiedKey>>,
}

/// The certificate of a realm, parsed again only when it was renewed.
#[derive(Debug)]
struct Presented {
    credentials: Arc<dyn Credentials>,
    parsed: Mutex<(TlsIdentity, Arc<CertifiedKey>)>,
}

impl Resolver {
    pub(super) fn new(
        realms: &[Arc<dyn Credentials>],
        web: Option<&TlsIdentity>,
    ) -> Result<Self, BindError> {
        let mut by_label = BTreeMap::new();
        for credentials in realms {
            let label = credentials.label().to_owned();
            let owner = credentials.realm().as_str();
            if !is_label(&label) {
                return Err(BindError::Tls {
                    owner: owner.to_owned(),
                    why: format!("{label:?} is no DNS label"),
                });
            }
            let identity = credentials.identity();
            let key = certified(owner, &identity)?;
            let presented = Presented {
                credentials: Arc::clone(credentials),
                parsed: Mutex::new((identity, key)),
            };
            if by_label.insert(label.clone(), presented).is_some() {
                return Err(BindError::SameLabel { label });
            }
        }
        Ok(Self {
            realms: by_label,
            decoy: decoy::certificate()?,
            web: web.map(|web| certified("the web face", web)).transpose()?,
        })
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offers = |protocol: &[u8]| {
            hello
                .alpn()
                .is_some_and(|mut offered| offered.any(|name| name == protocol))
        };
        if offers(ALPN_LINK) {
            let realm = hello.server_name().and_then(|label| self.realms.get(label));
            Some(realm.map_or_else(|| Arc::clone(&self.decoy), Presented::current))
        } else if offers(ALPN_HTTP) {
            self.web.clone()
        } else {
            None
        }
    }
}

impl Presented {
    fn current(&self) -> Arc<CertifiedKey> {
        let identity = self.credentials.identity();
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if parsed.0 != identity {
            match certified(self.credentials.realm().as_str(), &identity) {
                Ok(key) => *parsed = (identity, key),
                Err(error) => tracing::error!(%error, "the former certificate is shown on"),
            }
        }
        Arc::clone(&parsed.1)
    }
}
