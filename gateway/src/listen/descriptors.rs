//! How many connections the system's open files limit allows.
//!
//! A client's connection costs one descriptor and its tunnel another. What is left over is for name
//! servers, attempts to connect, files and the admin listener. Connections are counted against this, so
//! that a flood of silent ones finds the gateway waiting at a bound of its own, and not without
//! descriptors in the middle of its work.

/// Descriptors kept for everything but clients and their tunnels.
const RESERVE: u64 = 256;

/// Returns how many connections a limit allows: in all, and of one address.
pub fn places(limit: u64) -> (u32, u32) {
    let all = limit.saturating_sub(RESERVE.min(limit / 2)) / 2;
    let all = u32::try_from(all).unwrap_or(u32::MAX).max(1);
    (all, (all - all / 4).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_descriptors_a_connection_and_a_reserve_fit_the_limit_and_no_address_has_all_places() {
        for (limit, all, one) in [(0, 1, 1), (256, 64, 48), (1024, 384, 288), (20_000, 9_872, 7_404)] {
            assert_eq!(places(limit), (all, one), "{limit}");
        }
        assert_eq!(places(u64::MAX).0, u32::MAX);
    }
}
