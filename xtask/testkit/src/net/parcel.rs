//! Messages on their way.

use macula_wire::Body;

/// Where a message lies while it is on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ParcelId(u32);

/// A message on its way.
#[derive(Debug)]
pub(super) struct Parcel {
    body: Option<Body>,
    /// The hash of its bytes.
    pub(super) hash: u64,
    /// The length of its frame.
    pub(super) length: usize,
}

/// Messages on their way, so that an event is small and making one allocates nothing.
///
/// Whoever lets an event go takes its message out.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    parcels: Vec<Parcel>,
    free: Vec<u32>,
}

impl Parcels {
    pub(super) fn put(&mut self, body: Body, hash: u64, length: usize) -> ParcelId {
        let parcel = Parcel {
            body: Some(body),
            hash,
            length,
        };
        if let Some(at) = self.free.pop() {
            if let Some(place) = self.parcels.get_mut(index(at)) {
                *place = parcel;
            }
            return ParcelId(at);
        }
        let at = u32::try_from(self.parcels.len()).unwrap_or(u32::MAX);
        self.parcels.push(parcel);
        ParcelId(at)
    }

    pub(super) fn get(&self, id: ParcelId) -> Option<&Parcel> {
        self.parcels.get(index(id.0))
    }

    /// A second one of the same message.
    pub(super) fn double(&mut self, id: ParcelId) -> Option<ParcelId> {
        let parcel = self.get(id)?;
        let (hash, length) = (parcel.hash, parcel.length);
        let body = parcel.body.clone()?;
        Some(self.put(body, hash, length))
    }

    /// Takes the message out; its place may be given to another.
    pub(super) fn take(&mut self, id: ParcelId) -> Option<Body> {
        let body = self.parcels.get_mut(index(id.0))?.body.take();
        if body.is_some() {
            self.free.push(id.0);
        }
        body
    }

    /// How many messages are on their way.
    pub(super) fn len(&self) -> usize {
        self.parcels.len().saturating_sub(self.free.len())
    }
}

impl Parcel {
    pub(super) fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }
}

fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
