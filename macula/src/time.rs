//! The wall clock, for what is checked against certificates.

/// Seconds since 1970 by the system's clock.
#[must_use]
pub fn unix_time() -> u64 {
    macula_transport::Clock::new().unix_ms() / 1_000
}
