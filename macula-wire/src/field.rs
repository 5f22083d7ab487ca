//! How each type of field stands in a body.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;

use crate::{
    CallId, ChannelRun, DecodeError, DeliveryId, EdgeToken, EncodeError, Epoch, Incarnation, Key,
    NodeId, NodeMark, Pattern, ProbeId, Procedure, Reader, RealmName, RecordId, RegistrationId,
    RequestId, Sequence, Signature, SubscriptionId, Topic, TopicAlias, check, name, varint,
};

/// A value with one encoding, which both directions hold it to. `max` bounds the length of byte strings, texts and lists; other types ignore it.
pub(crate) trait Field: Sized {
    /// Appends the value.
    fn put(&self, field: &'static str, max: usize, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Takes the value.
    fn take(field: &'static str, max: usize, input: &mut Reader) -> Result<Self, DecodeError>;
}

/// Stands for the limit of a field that has none of its own.
pub(crate) const UNLIMITED: usize = usize::MAX;

fn put_length(
    field: &'static str,
    max: usize,
    length: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if length > max {
        return Err(EncodeError::TooLarge { field, max });
    }
    varint::put(out, u64::try_from(length).unwrap_or(u64::MAX));
    Ok(())
}

macro_rules! fields {
    ($($type:ty: |$value:ident, $out:ident| $put:expr, |$field:ident, $input:ident| $take:expr;)*) => {$(
        impl Field for $type {
            fn put(&self, _: &'static str, _: usize, $out: &mut Vec<u8>) -> Result<(), EncodeError> {
                let $value = self;
                $put;
                Ok(())
            }

            fn take($field: &'static str, _: usize, $input: &mut Reader) -> Result<Self, DecodeError> {
                let _ = $field;
                $take
            }
        }
    )*};
}

fields! {
    u8: |value, out| out.push(*value), |field, input| input.byte();
    u16: |value, out| varint::put(out, u64::from(*value)), |field, input| {
        let value = input.varint()?;
        Self::try_from(value).map_err(|_| DecodeError::Invalid { field, value })
    };
    u32: |value, out| varint::put(out, u64::from(*value)), |field, input| input.varint_u32(field);
    u64: |value, out| varint::put(out, *value), |field, input| input.varint();
    bool: |value, out| out.push(u8::from(*value)), |field, input| match input.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        value => Err(DecodeError::Invalid { field, value: u64::from(value) }),
    };
    NodeId: |value, out| out.extend_from_slice(value.as_bytes()), |field, input| input.array().map(Self::from_bytes);
    NodeMark: |value, out| out.extend_from_slice(value.as_bytes()), |field, input| input.array().map(Self::from_bytes);
    Key: |value, out| out.extend_from_slice(value.as_bytes()), |field, input| input.array().map(Self::from_bytes);
    RecordId: |value, out| out.extend_from_slice(value.as_bytes()), |field, input| input.array().map(Self::from_bytes);
    CallId: |value, out| out.extend_from_slice(value.as_bytes()), |field, input| input.array().map(Self::from_bytes);
    Signature: |value, out| out.extend_from_slice(value.as_bytes()), |field, input| input.array().map(Self::from_bytes);
}

macro_rules! numbers {
    ($($type:ty),*) => {fields! {$(
        $type: |value, out| varint::put(out, value.get()), |field, input| input.varint().map(Self::new);
    )*}};
}

numbers!(
    Epoch,
    Sequence,
    Incarnation,
    TopicAlias,
    ChannelRun,
    DeliveryId,
    SubscriptionId,
    RegistrationId,
    RequestId,
    ProbeId,
    EdgeToken
);

macro_rules! names {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn put(&self, field: &'static str, _: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                put_length(field, name::MAX_NAME_LEN, self.as_str().len(), out)?;
                out.extend_from_slice(self.as_str().as_bytes());
                Ok(())
            }

            fn take(field: &'static str, _: usize, input: &mut Reader) -> Result<Self, DecodeError> {
                let bytes = input.bytes(field, name::MAX_NAME_LEN)?;
                let text = core::str::from_utf8(&bytes).map_err(|_| DecodeError::Utf8)?;
                Ok(Self::new(text)?)
            }
        }
    )*};
}

names!(Topic, Pattern, Procedure, RealmName);

impl Field for Bytes {
    fn put(&self, field: &'static str, max: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_length(field, max, self.len(), out)?;
        out.extend_from_slice(self);
        Ok(())
    }

    fn take(field: &'static str, max: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        input.bytes(field, max)
    }
}

/// A text for people or programs: UTF-8 without control characters.
impl Field for String {
    fn put(&self, field: &'static str, max: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check::text(field, self)?;
        put_length(field, max, self.len(), out)?;
        out.extend_from_slice(self.as_bytes());
        Ok(())
    }

    fn take(field: &'static str, max: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        let bytes = input.bytes(field, max)?;
        let text = core::str::from_utf8(&bytes).map_err(|_| DecodeError::Utf8)?;
        check::text(field, text).map_err(EncodeError::as_refusal)?;
        Ok(text.into())
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, field: &'static str, max: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.put(field, max, out)?;
            }
        }
        Ok(())
    }

    fn take(field: &'static str, max: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        match input.byte()? {
            0 => Ok(None),
            1 => T::take(field, max, input).map(Some),
            value => Err(DecodeError::Invalid {
                field,
                value: u64::from(value),
            }),
        }
    }
}

/// What is rare and large; its encoding is that of the value.
impl<T: Field> Field for Box<T> {
    fn put(&self, field: &'static str, max: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        T::put(self, field, max, out)
    }

    fn take(field: &'static str, max: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        T::take(field, max, input).map(Self::new)
    }
}

/// What many hold at once; its encoding is that of the value.
impl<T: Field> Field for Arc<T> {
    fn put(&self, field: &'static str, max: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        T::put(self, field, max, out)
    }

    fn take(field: &'static str, max: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        T::take(field, max, input).map(Self::new)
    }
}

/// The longest byte string in a list of byte strings (a certificate) in bytes.
pub(crate) const MAX_LISTED_BYTES: usize = 8_192;

impl<T: Field> Field for Vec<T> {
    fn put(&self, field: &'static str, max: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_length(field, max, self.len(), out)?;
        self.iter()
            .try_for_each(|item| item.put(field, MAX_LISTED_BYTES, out))
    }

    fn take(field: &'static str, max: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        let count = input.length(field, max)?;
        // Every element takes a byte at least, so a count beyond what is left cannot be honest.
        if count > input.remaining() {
            return Err(DecodeError::UnexpectedEnd);
        }
        let mut items = Self::new();
        for _ in 0..count {
            items.push(T::take(field, MAX_LISTED_BYTES, input)?);
        }
        Ok(items)
    }
}

/// An address and a port. What else IPv6 knows (flow, scope) stays here, and a mapped IPv4 address is written as the
/// IPv4 address that it is.
impl Field for SocketAddr {
    fn put(&self, field: &'static str, max: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self.ip().to_canonical() {
            IpAddr::V4(ip) => {
                out.push(0);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(1);
                out.extend_from_slice(&ip.octets());
            }
        }
        self.port().put(field, max, out)
    }

    fn take(field: &'static str, max: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        let ip = match input.varint()? {
            0 => IpAddr::V4(Ipv4Addr::from(input.array::<4>()?)),
            1 => {
                let ip = Ipv6Addr::from(input.array::<16>()?);
                // One address has one form: a mapped IPv4 address is an IPv4 address.
                if ip.to_ipv4_mapped().is_some() {
                    return Err(DecodeError::NotCanonical);
                }
                IpAddr::V6(ip)
            }
            value => return Err(DecodeError::Invalid { field, value }),
        };
        Ok(Self::new(ip, u16::take(field, max, input)?))
    }
}

/// Declares an enum without data whose tag is a varint.
macro_rules! tagged {
    ($(#[$doc:meta])* pub enum $name:ident as $field:literal { $($(#[$vdoc:meta])* $variant:ident = $tag:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[expect(clippy::exhaustive_enums, reason = "the values are closed within a version of the protocol")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, in the order of their tags.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The tag on the wire.
            #[must_use]
            pub const fn tag(self) -> u8 {
                match self { $(Self::$variant => $tag,)* }
            }
        }

        impl $crate::field::Field for $name {
            fn put(&self, _: &'static str, _: usize, out: &mut alloc::vec::Vec<u8>) -> Result<(), $crate::EncodeError> {
                $crate::varint::put(out, u64::from(self.tag()));
                Ok(())
            }

            fn take(_: &'static str, _: usize, input: &mut $crate::Reader) -> Result<Self, $crate::DecodeError> {
                match input.varint()? {
                    $($tag => Ok(Self::$variant),)*
                    value => Err($crate::DecodeError::Invalid { field: $field, value }),
                }
            }
        }
    };
}
pub(crate) use tagged;

/// Declares a struct whose encoding is that of its fields in order.
///
/// The function after `check` is asked before the value is written and after it was read. Records hold records that
/// were declared before them and never themselves, so nesting has the depth of the declarations.
macro_rules! record {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$fdoc:meta])* pub $f:ident: $t:ty $([$max:expr])?,)* } $(check $check:path)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, PartialEq)]
        #[expect(clippy::exhaustive_structs, reason = "the fields are fixed within a version of the protocol")]
        pub struct $name { $($(#[$fdoc])* pub $f: $t,)* }

        impl $crate::field::Field for $name {
            fn put(&self, _: &'static str, _: usize, out: &mut alloc::vec::Vec<u8>) -> Result<(), $crate::EncodeError> {
                let _: &alloc::vec::Vec<u8> = out;
                $($check(self)?;)?
                $($crate::field::Field::put(&self.$f, stringify!($f), $crate::field::limit!($($max)?), out)?;)*
                Ok(())
            }

            fn take(_: &'static str, _: usize, input: &mut $crate::Reader) -> Result<Self, $crate::DecodeError> {
                let _: &$crate::Reader = input;
                let value = Self { $($f: $crate::field::Field::take(stringify!($f), $crate::field::limit!($($max)?), input)?,)* };
                $($check(&value).map_err($crate::EncodeError::as_refusal)?;)?
                Ok(value)
            }
        }
    };
}
pub(crate) use record;

macro_rules! limit {
    () => {
        $crate::field::UNLIMITED
    };
    ($max:expr) => {
        $max
    };
}
pub(crate) use limit;

/// Lets records be encoded and decoded by themselves, outside of a message.
macro_rules! whole {
    ($($name:ident)*) => {$(
        impl $name {
            /// Appends the encoding to `out`.
            ///
            /// # Errors
            ///
            /// [`EncodeError`](crate::EncodeError) if a field is over its limit or breaks a rule.
            pub fn encode(&self, out: &mut alloc::vec::Vec<u8>) -> Result<(), crate::EncodeError> {
                crate::field::Field::put(self, stringify!($name), crate::field::UNLIMITED, out)
            }

            /// Reads what [`encode`](Self::encode) wrote; the payloads are slices of `bytes`.
            ///
            /// # Errors
            ///
            /// [`DecodeError`](crate::DecodeError) if `bytes` are anything else.
            pub fn decode(bytes: bytes::Bytes) -> Result<Self, crate::DecodeError> {
                let mut reader = crate::Reader::new(bytes);
                let name = stringify!($name);
                let limit = crate::field::UNLIMITED;
                let value = <Self as crate::field::Field>::take(name, limit, &mut reader)?;
                reader.finish()?;
                Ok(value)
            }
        }
    )*};
}
pub(crate) use whole;
