//! Upstream proxies (relays): which there are, what goes past them, and what they are told.

use std::fmt;
use std::path::PathBuf;

use common::host_port::HostName;
use common::proxy_url::ProxyUrl;

use crate::policy::pattern::Pattern;
use crate::policy::via::Via;
use crate::refusal::Refusal;

/// Most gateways of this kind that a request may have passed before it came here.
pub const MOST_PASSED: usize = 8;
const NAME: &[u8] = b"la-gateway-";
const DIGITS: usize = 16;

/// The upstream proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelaySettings {
    /// The relays in order of preference; none means that every destination is dialled directly.
    pub proxies: Vec<ProxyUrl>,
    /// PEM file with the authorities of `https` relays; none means those of the system.
    pub ca: Option<PathBuf>,
    /// Hosts that are dialled directly all the same.
    pub bypass: Vec<Pattern>,
}

impl RelaySettings {
    /// Says whether a host is dialled directly although there are relays.
    pub fn bypasses(&self, name: &HostName) -> bool {
        self.bypass.iter().any(|pattern| pattern.find(name).is_some())
    }
}

/// The gateways of this kind that a request has passed: of its Via fields, that is all a relay is told.
///
/// Without it two gateways that have each other for relay would never see their own name come back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed(Vec<Via>);

impl Passed {
    /// Reads the values of the Via fields; refuses more than [`MOST_PASSED`] gateways as a loop.
    pub fn read(values: &[&[u8]]) -> Result<Self, Refusal> {
        let mut passed = Vec::new();
        for value in values {
            for at in 0..value.len() {
                let Some(number) = value.get(at..).and_then(number) else { continue };
                passed.push(Via::new(number));
                if passed.len() > MOST_PASSED {
                    return Err(Refusal::Loop);
                }
            }
        }
        Ok(Self(passed))
    }

    /// Returns the value of the Via field for the next relay: these gateways, and then `own`.
    pub fn and(&self, own: &Via) -> ViaField {
        ViaField(self.0.iter().chain([own]).cloned().collect())
    }
}

/// The value of a Via field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViaField(Vec<Via>);

impl fmt::Display for ViaField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (turn, via) in self.0.iter().enumerate() {
            if turn > 0 {
                f.write_str(", ")?;
            }
            via.fmt(f)?;
        }
        Ok(())
    }
}

/// Returns the number in a gateway's name, if `text` begins with such a name.
fn number(text: &[u8]) -> Option<u64> {
    let (name, rest) = text.split_at_checked(NAME.len())?;
    let digits = rest.get(..DIGITS)?;
    let is_name = name.eq_ignore_ascii_case(NAME) && digits.iter().all(u8::is_ascii_hexdigit);
    let number = is_name.then(|| str::from_utf8(digits).ok())??;
    u64::from_str_radix(number, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_matches_a_pattern_goes_past_the_relays() {
        let bypass = vec!["*.privatelink.example".parse().expect("a pattern")];
        let settings = RelaySettings { bypass, ..RelaySettings::default() };
        for (host, expected) in [
            ("a.privatelink.example", true),
            ("privatelink.example", false),
            ("a.b.privatelink.example", false),
        ] {
            assert_eq!(settings.bypasses(&host.parse().expect("a host")), expected, "{host}");
        }
        assert!(!RelaySettings::default().bypasses(&"a.privatelink.example".parse().expect("a host")));
    }

    #[test]
    fn d10_the_gateways_a_request_has_passed_are_told_to_the_next_and_nothing_else_is() {
        let (first, second, own) = (Via::new(1), Via::new(0xfeed_face_0123_4567), Via::new(3));
        let values = [
            format!("1.0 squid, {first} (x, y\u{e9}), 1.1 secret"),
            format!("1.1 la-gateway-12, {}", second.to_string().to_uppercase()),
            "1.1 la-gateway-+123456789abcdef, la-gateway-".to_owned(),
            String::new(),
        ];
        let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
        let passed = Passed::read(&values).expect("few");
        assert_eq!(passed.and(&own).to_string(), format!("{first}, {second}, {own}"));
        assert_eq!(Passed::default().and(&own).to_string(), own.to_string());
    }

    #[test]
    fn d10_more_gateways_than_any_site_has_in_a_row_are_a_loop() {
        let row = |count: u64| (0..count).map(|number| Via::new(number).to_string()).collect::<Vec<_>>();
        let read = |row: &[String]| Passed::read(&row.iter().map(String::as_bytes).collect::<Vec<_>>());
        assert!(read(&row(8)).is_ok());
        assert_eq!(read(&row(9)), Err(Refusal::Loop));
        assert_eq!(read(&[row(9).join(",")]), Err(Refusal::Loop));
    }
}
