//! The private extension: roles, tenant and zone.

use macula_wire::message::Roles;

use crate::der::{self, CONTEXT_0, CONTEXT_1, Der, SEQUENCE};
use crate::{CertificateError, Tenant, Zone};

/// The object identifier, 2.25.7881690178855698433: the arc of numbers that need no registration (ITU-T X.667) and
/// the bytes `macula`, 0, 1 as a number.
pub(crate) const OID: [u64; 3] = [2, 25, 0x6d61_6375_6c61_0001];
/// [`OID`] as it stands in a certificate.
pub(super) const OID_BYTES: [u8; 10] = [0x69, 0xed, 0xb0, 0xd8, 0xee, 0xd6, 0xe3, 0x84, 0x80, 0x01];
/// The version of the layout.
const VERSION: u32 = 1;

/// What a certificate says of a node besides who it is: the content of the private extension.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Attributes {
    /// What the node may be. Bits without a meaning are kept.
    pub roles: Roles,
    /// Its tenant.
    pub tenant: Option<Tenant>,
    /// Where it stands.
    pub zone: Option<Zone>,
}

impl Attributes {
    /// Roles alone.
    #[must_use]
    pub const fn new(roles: Roles) -> Self {
        Self {
            roles,
            tenant: None,
            zone: None,
        }
    }

    /// Reads the one legal encoding.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Profile`] for every other, such as a number that is not in its shortest form, a tenant
    /// that is not a legal one, no role at all, or bytes that are left over.
    pub fn from_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        const BAD: CertificateError =
            CertificateError::Profile("the private extension is not in its one legal encoding");
        let mut outer = Der::new(bytes);
        let mut inner = outer.sequence().ok_or(BAD)?;
        if !outer.is_empty() {
            return Err(BAD);
        }
        if inner.number().ok_or(BAD)? != VERSION {
            return Err(CertificateError::Profile(
                "the private extension has another version than 1",
            ));
        }
        let roles = Roles::from_bits(inner.number().ok_or(BAD)?);
        if roles == Roles::NONE {
            return Err(CertificateError::Profile("the certificate allows no role"));
        }
        let mut attributes = Self::new(roles);
        if inner.tag() == Some(CONTEXT_0) {
            attributes.tenant = Some(text(&mut inner, CONTEXT_0, Tenant::new).ok_or(BAD)?);
        }
        if inner.tag() == Some(CONTEXT_1) {
            attributes.zone = Some(text(&mut inner, CONTEXT_1, Zone::new).ok_or(BAD)?);
        }
        if inner.is_empty() {
            Ok(attributes)
        } else {
            Err(BAD)
        }
    }

    /// The one legal encoding.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let mut content = der::number(VERSION);
        content.extend(der::number(self.roles.bits()));
        if let Some(tenant) = &self.tenant {
            content.extend(der::value(CONTEXT_0, tenant.as_str().as_bytes()));
        }
        if let Some(zone) = &self.zone {
            content.extend(der::value(CONTEXT_1, zone.as_str().as_bytes()));
        }
        der::value(SEQUENCE, &content)
    }
}

fn text<T, E>(inner: &mut Der<'_>, tag: u8, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
    let text = std::str::from_utf8(inner.take(tag)?).ok()?;
    read(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use x509_parser::der_parser::Oid;

    use super::*;

    #[test]
    fn both_forms_of_the_identifier_agree() {
        assert_eq!(Oid::from(&OID).unwrap().as_bytes(), OID_BYTES);
        assert_eq!(OID[2].to_be_bytes(), *b"macula\0\x01");
    }

    #[test]
    fn the_encoding_is_the_one_in_the_readme() {
        let mut attributes = Attributes::new(Roles::MEMBER.with(Roles::CLIENT));
        assert_eq!(attributes.to_der(), b"\x30\x06\x02\x01\x01\x02\x01\x03");
        attributes.tenant = Some(Tenant::new("solar").unwrap());
        attributes.zone = Some(Zone::new("ghent").unwrap());
        assert_eq!(
            attributes.to_der(),
            b"\x30\x14\x02\x01\x01\x02\x01\x03\x80\x05solar\x81\x05ghent"
        );
    }

    #[test]
    fn every_other_encoding_is_refused() {
        for good in [
            &b"\x30\x06\x02\x01\x01\x02\x01\x03"[..],
            b"\x30\x0d\x02\x01\x01\x02\x01\x03\x80\x05solar",
            b"\x30\x0d\x02\x01\x01\x02\x01\x03\x81\x05ghent",
        ] {
            let read = Attributes::from_der(good);
            assert_eq!(read.map(|read| read.to_der()), Ok(good.to_vec()));
        }
        for bad in [
            &b""[..],
            b"\x30\x00",
            b"\x30\x03\x02\x01\x01",
            b"\x30\x06\x02\x01\x02\x02\x01\x03",
            b"\x30\x06\x02\x01\x01\x02\x01\x00",
            b"\x30\x06\x02\x01\x01\x02\x01\x83",
            b"\x30\x07\x02\x01\x01\x02\x02\x00\x03",
            b"\x30\x06\x02\x01\x01\x02\x01\x03\x00",
            b"\x30\x81\x06\x02\x01\x01\x02\x01\x03",
            b"\x31\x06\x02\x01\x01\x02\x01\x03",
            b"\x30\x08\x02\x01\x01\x02\x01\x03\x80\x00",
            b"\x30\x0d\x02\x01\x01\x02\x01\x03\x80\x05Solar",
            b"\x30\x0d\x02\x01\x01\x02\x01\x03\x82\x05solar",
            b"\x30\x0d\x02\x01\x01\x02\x01\x03\x0c\x05solar",
            b"\x30\x14\x02\x01\x01\x02\x01\x03\x81\x05ghent\x80\x05solar",
            b"\x30\x14\x02\x01\x01\x02\x01\x03\x80\x05solar\x80\x05solar",
        ] {
            assert!(
                matches!(Attributes::from_der(bad), Err(CertificateError::Profile(_))),
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            bits in 1..=u32::MAX,
            tenant in proptest::option::of("[a-z0-9-]{1,63}"),
            zone in proptest::option::of("[a-z0-9-]{1,63}"),
        ) {
            let mut attributes = Attributes::new(Roles::from_bits(bits));
            attributes.tenant = tenant.map(|text| Tenant::new(&text).unwrap());
            attributes.zone = zone.map(|text| Zone::new(&text).unwrap());
            prop_assert_eq!(Attributes::from_der(&attributes.to_der()), Ok(attributes));
        }

        #[test]
        fn bytes_are_refused_or_come_back(
            head in prop_oneof![Just(&b"\x30\x0d\x02\x01\x01\x02\x01\x03"[..]), Just(&b""[..])],
            tail in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let bytes = [head, &tail].concat();
            if let Ok(attributes) = Attributes::from_der(&bytes) {
                prop_assert_eq!(attributes.to_der(), bytes);
            }
        }
    }
}
