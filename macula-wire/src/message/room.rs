//! How many bytes are set aside for a frame, so that few have to grow while they are encoded.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{Body, Kind, RpcCall};
use crate::extension::Extensions;
use crate::field::{Field, UNLIMITED};
use crate::frame::put_frame;
use crate::{CALL_ID_LEN, EncodeError, NODE_ID_LEN};

/// For everything that stands around a payload, but for ids and names.
const AROUND: usize = 64;

impl Body {
    /// How many bytes are set aside for the frame. What is longer makes its buffer grow.
    pub(super) fn room(&self) -> usize {
        if let Self::RpcCall(call) = self {
            call.room()
        } else if let Self::RpcResult(result) = self {
            result.payload.len().saturating_add(AROUND)
        } else {
            AROUND
        }
    }
}

impl RpcCall {
    /// The frame of the message without extensions, for a caller that keeps the call.
    ///
    /// # Errors
    ///
    /// As [`Message::encode`](super::Message::encode).
    pub fn to_frame(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(self.room());
        put_frame(&mut out, Kind::RpcCall.number(), |out| {
            self.put("RpcCall", UNLIMITED, out)?;
            Extensions::new().put("extensions", UNLIMITED, out)
        })?;
        Ok(out)
    }

    fn room(&self) -> usize {
        let ids = CALL_ID_LEN.saturating_add(NODE_ID_LEN);
        let keys = [&self.idempotency, &self.key].map(|key| key.as_ref().map_or(0, Bytes::len));
        let names = self.procedure.as_str().len();
        keys.into_iter()
            .chain([AROUND, ids, names, self.payload.len()])
            .fold(0, usize::saturating_add)
    }
}
