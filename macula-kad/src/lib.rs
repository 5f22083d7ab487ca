//! Routing in a realm: Kademlia, signed records, and reaching nodes by others, without I/O.
