//! A node and its addresses, as the overlay and routing tell of it.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::field::record;
use crate::limit::MAX_ADDRESSES;
use crate::{EncodeError, NodeId, check};

record! {
    /// A node, and where it can be dialled.
    pub struct Contact {
        /// The node.
        pub node: NodeId,
        /// Best first; at most 8, none twice, each as in a [`MemberRecord`](super::MemberRecord).
        pub addresses: Vec<SocketAddr> [MAX_ADDRESSES],
    }
    check check_contact
}

fn check_contact(contact: &Contact) -> Result<(), EncodeError> {
    check::addresses(&contact.addresses)
}
