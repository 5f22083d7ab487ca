//! The randomness of the operating system.

use macula_wire::Random;
use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;

/// The operating system gave no randomness.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the operating system gave no randomness")]
#[non_exhaustive]
pub struct EntropyError;

/// A generator that differs from every other, for machines and identifiers that need not be secret.
///
/// # Errors
///
/// [`EntropyError`], where the system has none to give.
pub fn entropy() -> Result<Random, EntropyError> {
    let mut seed = [0; 8];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| EntropyError)?;
    Ok(Random::new(u64::from_le_bytes(seed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generators_differ() {
        let (mut one, mut two) = (entropy().unwrap(), entropy().unwrap());
        assert_ne!(
            [one.next_u64(), one.next_u64()],
            [two.next_u64(), two.next_u64()]
        );
    }
}
