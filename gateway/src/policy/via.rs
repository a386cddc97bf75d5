//! How this gateway knows its own requests again: its name in the Via field (RFC 9110 section 7.6.3).

use std::fmt;

/// A name that no other gateway has, as it stands in `Via: 1.1 la-gateway-0123456789abcdef`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via(String);

impl Via {
    /// Makes the name from a random number.
    pub fn new(random: u64) -> Self {
        Self(format!("la-gateway-{random:016x}"))
    }

    /// Says whether the value of a Via field names this gateway.
    pub fn is_in(&self, value: &[u8]) -> bool {
        value.windows(self.0.len()).any(|part| part.eq_ignore_ascii_case(self.0.as_bytes()))
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.1 {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d10_a_gateway_knows_its_own_name_among_others() {
        let (ours, other) = (Via::new(7), Via::new(8));
        assert!(ours.is_in(format!("1.0 squid, {ours}, 1.1 varnish").as_bytes()));
        assert!(ours.is_in(ours.to_string().to_uppercase().as_bytes()));
        assert!(!ours.is_in(other.to_string().as_bytes()));
        assert!(!ours.is_in(b""));
    }
}
