//! `/proc/net/dev`: what went through the interfaces since they came up.

use super::reading::Reading;
use super::words::lines;
use super::words::number;
use super::words::words;

/// The sums of one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    received_bytes: u64,
    received_packets: u64,
    receive_errors: u64,
    sent_bytes: u64,
    sent_packets: u64,
    send_errors: u64,
    collisions: u64,
}

/// Returns every interface but the loopback.
pub fn interfaces(text: &[u8]) -> impl Iterator<Item = (&str, Sums)> {
    lines(text).filter_map(|line| {
        // An alias has a colon in its name, and old kernels leave no blank behind the one that ends it.
        let colon = line.iter().rposition(|byte| *byte == b':')?;
        let (name, numbers) = line.split_at_checked(colon)?;
        let name = str::from_utf8(name).ok()?.trim();
        let mut numbers = words(numbers.get(1..)?).map(number);
        let (received_bytes, received_packets) = (numbers.next()??, numbers.next()??);
        let receive_errors = numbers.next()??;
        let (sent_bytes, sent_packets) = (numbers.nth(5)??, numbers.next()??);
        let send_errors = numbers.next()??;
        let collisions = numbers.nth(2)??;
        let sums = Sums {
            received_bytes,
            received_packets,
            receive_errors,
            sent_bytes,
            sent_packets,
            send_errors,
            collisions,
        };
        (name != "lo").then_some((name, sums))
    })
}

impl Sums {
    /// Returns the counters: sums, not rates.
    pub fn readings(&self) -> [Reading; 8] {
        let all = [
            self.sent_bytes,
            self.received_bytes,
            self.sent_bytes.saturating_add(self.received_bytes),
            self.sent_packets,
            self.received_packets,
            self.receive_errors,
            self.send_errors,
            self.collisions,
        ];
        all.map(|sum| Reading::Value(sum as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::proc::catalogue::Object;

    #[test]
    fn interfaces_are_read_with_their_sums_in_the_right_columns() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
            lo: 327925922017 10523634    0    0    0     0          0         0 327925922017 10523634    0    0    0     0       0          0\n  \
            eth0: 741726301   42958    1    2    3     4          5         6  2673792   25414    7    8    9    10       11         12\n\
            eth1:1:99 98 0 0 0 0 0 0 97 96 0 0 0 0 0 0\ntorn: 1 2 3\n";
        let found: Vec<_> = interfaces(text.as_bytes()).collect();
        assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["eth0", "eth1:1"]);
        let expected = [2_673_792.0, 741_726_301.0, 744_400_093.0, 25414.0, 42958.0, 1.0, 7.0, 10.0];
        assert_eq!(found[0].1.readings(), expected.map(Reading::Value));
        assert_eq!(found[1].1.readings()[..2], [97.0, 99.0].map(Reading::Value));
        assert_eq!(expected.len(), Object::Network.counters().len());
    }
}
