//! Links between Macula nodes: QUIC with mutual TLS, HTTP/3 on the same port, in-process links for tests.
