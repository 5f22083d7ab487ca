//! What a node must know to judge others of its realm, and its file.

use std::fmt;
use std::path::Path;

use macula_wire::RealmName;

use crate::anchor::RootCertificate;
use crate::files::{self, Place};
use crate::key::random;
use crate::{FileError, IssueError, TrustError, pem, sha256};

/// The name of the file in a realm's and in a node's directory.
const FILE: &str = "realm.trust";
/// The most roots of a bundle.
const MAX_ROOTS: usize = 8;
const TAG_LEN: usize = 16;
/// What the label is derived under, before the tag.
const LABEL_DOMAIN: &[u8] = b"macula/1 realm label";

const FORMAT_LINE: &str = "macula-trust 1";
const REALM_KEY: &str = "realm: ";
const TAG_KEY: &str = "tag: ";

/// A realm's name, its random tag and its roots. It is public: there is no secret in it.
///
/// A node accepts a certificate only if it ends in one of these roots *and* names this realm. The bundle is handed
/// out with care for its integrity, because who can change it can let others in.
#[derive(Clone, Eq, PartialEq)]
pub struct TrustBundle {
    realm: RealmName,
    tag: [u8; TAG_LEN],
    roots: Vec<RootCertificate>,
}

impl TrustBundle {
    /// The bundle of a new realm, with a new tag.
    pub(crate) fn create(realm: RealmName, root: RootCertificate) -> Result<Self, IssueError> {
        let mut tag = [0; TAG_LEN];
        random(&mut tag)?;
        Ok(Self {
            realm,
            tag,
            roots: vec![root],
        })
    }

    /// The realm.
    #[must_use]
    pub const fn realm(&self) -> &RealmName {
        &self.realm
    }

    /// The roots, 1 to 8; several while one replaces another.
    #[must_use]
    pub fn roots(&self) -> &[RootCertificate] {
        &self.roots
    }

    /// The realm label: the opaque name by which a dialler asks for the realm, 32 lower-case hexadecimal digits.
    ///
    /// It is the first half of the SHA-256 of `macula/1 realm label` and the tag, with two bits set so that it
    /// starts with a letter: a DNS label of digits alone is not legal everywhere. Who does not know the tag can
    /// neither guess it nor learn the realm from it.
    #[must_use]
    pub fn label(&self) -> String {
        let mut bytes = [0; TAG_LEN];
        let whole = sha256(&[LABEL_DOMAIN, &self.tag].concat());
        for (to, from) in bytes.iter_mut().zip(whole) {
            *to = from;
        }
        bytes[0] |= 0xa0;
        hex(&bytes)
    }

    /// The bundle with one more root, for the time in which a new one replaces an old one.
    ///
    /// # Errors
    ///
    /// [`TrustError::Root`] if `der` is not a root, [`TrustError::DuplicateRoot`] if it is in the bundle already,
    /// [`TrustError::RootCount`] over eight. The bundle is unchanged.
    pub fn add_root(&mut self, der: &[u8]) -> Result<(), TrustError> {
        let number = self.roots.len().saturating_add(1);
        let root =
            RootCertificate::from_der(der).map_err(|why| TrustError::Root { number, why })?;
        if self.roots.iter().any(|known| known.der() == der) {
            return Err(TrustError::DuplicateRoot);
        }
        if number > MAX_ROOTS {
            return Err(TrustError::RootCount { count: number });
        }
        self.roots.push(root);
        Ok(())
    }

    /// Reads the text form, which has one legal spelling: what is accepted is what
    /// [`to_text`](Self::to_text) writes.
    ///
    /// # Errors
    ///
    /// See [`TrustError`].
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let mut lines = text.split('\n');
        let mut line = |number, expected| {
            lines.next().ok_or(TrustError::Header {
                line: number,
                expected,
            })
        };
        let bad = |line, expected| TrustError::Header { line, expected };
        if line(1, FORMAT_LINE)? != FORMAT_LINE {
            return Err(bad(1, FORMAT_LINE));
        }
        let realm = line(2, "realm: <name>")?
            .strip_prefix(REALM_KEY)
            .ok_or_else(|| bad(2, "realm: <name>"))?;
        let realm = RealmName::new(realm).map_err(TrustError::Realm)?;
        let tag = line(3, "tag: <32 lower-case hex digits>")?
            .strip_prefix(TAG_KEY)
            .and_then(read_tag)
            .ok_or_else(|| bad(3, "tag: <32 lower-case hex digits>"))?;
        if !line(4, "an empty line")?.is_empty() {
            return Err(bad(4, "an empty line"));
        }
        let bundle = Self {
            realm,
            tag,
            roots: read_roots(text)?,
        };
        if bundle.to_text() == text {
            Ok(bundle)
        } else {
            Err(TrustError::NotCanonical)
        }
    }

    /// The text form: `macula-trust 1`, `realm: `, `tag: ` and an empty line, then the roots in PEM.
    #[must_use]
    pub fn to_text(&self) -> String {
        let tag = hex(&self.tag);
        let mut text = format!(
            "{FORMAT_LINE}\n{REALM_KEY}{}\n{TAG_KEY}{tag}\n\n",
            self.realm
        );
        for root in &self.roots {
            text.push_str(&pem::encode(pem::CERTIFICATE, root.der()));
        }
        text
    }

    /// Writes the bundle to `realm.trust` in `directory`, in place of the one there. The directory is made if it
    /// is missing.
    ///
    /// # Errors
    ///
    /// [`FileError::Unwritable`]; what was there is then untouched.
    pub fn save(&self, directory: &Path) -> Result<(), FileError> {
        files::prepare(directory)?;
        files::write_public(
            &directory.join(FILE),
            self.to_text().as_bytes(),
            Place::Replace,
        )
    }

    /// Reads `realm.trust` in `directory`.
    ///
    /// # Errors
    ///
    /// [`FileError::Missing`], [`FileError::Unreadable`], or [`FileError::Damaged`] if it is not a bundle.
    pub fn load(directory: &Path) -> Result<Self, FileError> {
        let path = directory.join(FILE);
        let text = files::read_text(&path)?;
        Self::parse(&text).map_err(|error| FileError::Damaged {
            path,
            why: error.to_string(),
        })
    }
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBundle")
            .field("realm", &self.realm)
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}

fn read_roots(text: &str) -> Result<Vec<RootCertificate>, TrustError> {
    let sections =
        pem::decode(pem::CERTIFICATE, text, MAX_ROOTS).map_err(|_| TrustError::NotCanonical)?;
    let mut roots = Vec::<RootCertificate>::new();
    for (der, number) in sections.iter().zip(1..) {
        let root =
            RootCertificate::from_der(der).map_err(|why| TrustError::Root { number, why })?;
        if roots.contains(&root) {
            return Err(TrustError::DuplicateRoot);
        }
        roots.push(root);
    }
    if roots.is_empty() {
        return Err(TrustError::RootCount { count: 0 });
    }
    Ok(roots)
}

fn read_tag(digits: &str) -> Option<[u8; TAG_LEN]> {
    let legal = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != TAG_LEN.saturating_mul(2) || !digits.as_bytes().iter().all(legal) {
        return None;
    }
    Some(u128::from_str_radix(digits, 16).ok()?.to_be_bytes())
}

fn hex(bytes: &[u8; TAG_LEN]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}
