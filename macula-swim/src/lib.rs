//! Membership of a realm: SWIM as a state machine without I/O.
