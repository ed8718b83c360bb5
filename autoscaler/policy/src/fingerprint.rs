//! One hash that is the same on every machine and in every release, which the standard ones are
//! not.

/// FNV-1a, 64 bits.
#[must_use]
pub fn fnv1a(text: &str) -> u64 {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, hash)
}
