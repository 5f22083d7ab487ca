//! Topics, interest and the forwarding of events in Macula, without I/O.
