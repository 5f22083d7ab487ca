//! Processes join a realm over QUIC, find each other, and exchange events and calls without a server.
