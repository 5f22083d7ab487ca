//! Identity and trust in Macula: realms, certificates, trust bundles, rights.
