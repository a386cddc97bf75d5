//! Syslog messages of 250 bytes as machines write them: a dozen programs, numbers that vary, `SERIES-seq=N`.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Bytes of every message, its header and its number included.
pub(crate) const LENGTH: usize = 250;

const HOSTS: [&str; 8] =
    ["edge7", "web-03", "db-1.site.example", "fw-north", "mail", "10.20.0.17", "plc-gw-12", "build-4"];
const USERS: [&str; 8] =
    ["root", "alice", "deploy", "m.weber", "postgres", "svc-backup", "operator", "jenkins"];
const PATHS: [&str; 8] = [
    "/",
    "/api/v1/orders",
    "/health",
    "/static/app.css",
    "/login",
    "/api/v1/devices",
    "/reports/day",
    "/metrics",
];
/// Fills a message to its length; what an operator would read anyway.
const WORDS: [&str; 16] = [
    "after", "timeout", "queue", "worker", "retry", "cache", "session", "closed", "from", "upstream",
    "pending", "volume", "ready", "sensor", "line", "checked",
];

/// Makes messages; the same number makes the same text but for its time.
pub(crate) struct Messages {
    series: &'static str,
    legacy_time: String,
    time: String,
}

/// A small generator (xorshift64*), so that numbers vary and runs are alike.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        dice.below(2);
        dice
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let at = self.below(words.len() as u64) as usize;
        words.get(at).copied().unwrap_or_default()
    }
}

impl Messages {
    pub(crate) fn new(series: &'static str) -> Self {
        let mut messages = Self { series, legacy_time: String::new(), time: String::new() };
        messages.now();
        messages
    }

    /// Takes the time for the messages that follow.
    pub(crate) fn now(&mut self) {
        let now = Timestamp::now();
        self.time = now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        self.legacy_time = now.to_zoned(TimeZone::system()).strftime("%b %e %H:%M:%S").to_string();
    }

    /// Appends a syslog message: RFC 3164 for even numbers, RFC 5424 for odd ones.
    pub(crate) fn syslog(&self, number: u64, out: &mut Vec<u8>) {
        let (begin, mut dice) = (out.len(), Dice::new(number));
        let (facility, severity) = (dice.below(24), 3 + dice.below(4));
        let (host, process) = (dice.of(&HOSTS), 300 + dice.below(30_000));
        let kind = dice.below(KINDS);
        let (priority, program) = (facility * 8 + severity, program(kind));
        let _ = match number % 2 {
            0 => write!(out, "<{priority}>{} {host} {program}[{process}]: ", self.legacy_time),
            _ => write!(out, "<{priority}>1 {} {host} {program} {process} - - ", self.time),
        };
        self.finish(number, kind, &mut dice, begin, out);
    }

    /// Appends a line of a text log, without its end.
    pub(crate) fn line(&self, number: u64, out: &mut Vec<u8>) {
        let (begin, mut dice) = (out.len(), Dice::new(number));
        let kind = dice.below(KINDS);
        let _ = write!(out, "{} {} ", self.time, program(kind));
        self.finish(number, kind, &mut dice, begin, out);
    }

    fn finish(&self, number: u64, kind: u64, dice: &mut Dice, begin: usize, out: &mut Vec<u8>) {
        body(kind, dice, out);
        let mark = format!(" {}-seq={number}", self.series);
        let room = begin + LENGTH - mark.len();
        while out.len() < room {
            out.push(b' ');
            out.extend_from_slice(dice.of(&WORDS).as_bytes());
        }
        out.truncate(room);
        out.extend_from_slice(mark.as_bytes());
    }
}

const KINDS: u64 = 10;

fn program(kind: u64) -> &'static str {
    match kind {
        0 | 1 => "sshd",
        2 => "kernel",
        3 => "nginx",
        4 => "systemd",
        5 => "postfix/smtp",
        6 => "orders",
        7 => "billing",
        8 => "dhcpd",
        _ => "audit",
    }
}

fn body(kind: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let ip = format!("10.{}.{}.{}", dice.below(4), dice.below(32), dice.below(256));
    let (port, id) = (1024 + dice.below(60_000), dice.below(1 << 30));
    let (user, path) = (dice.of(&USERS), dice.of(&PATHS));
    let (small, large) = (dice.below(100), dice.below(100_000));
    // A vector takes all text.
    let _ = match kind {
        0 => write!(
            out,
            "Accepted publickey for {user} from {ip} port {port} ssh2: ED25519 SHA256:{id:x}u8Yk3L0qT"
        ),
        1 => write!(out, "Failed password for invalid user {user} from {ip} port {port} ssh2"),
        2 => write!(
            out,
            "[{large}.{id:06}] [UFW BLOCK] IN=eth0 OUT= SRC={ip} DST=10.0.0.7 LEN={small} TOS=0x00 TTL=64 ID={port} \
             DF PROTO=TCP SPT={port} DPT=445 SYN"
        ),
        3 => write!(
            out,
            "{ip} - {user} \"GET {path}/{id} HTTP/1.1\" 200 {large} \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\" 0.0{small}"
        ),
        4 => write!(out, "Started session-{port}.scope - Session {port} of User {user}."),
        5 => write!(
            out,
            "{id:X}: to=<{user}@example.org>, relay=mx1.example.org[{ip}]:25, delay=0.{small}, dsn=2.0.0, \
             status=sent (250 2.0.0 Ok: queued)"
        ),
        6 => write!(
            out,
            "level=info msg=\"order accepted\" order={id} customer={large} items={small} path={path} total={port}.99 EUR"
        ),
        7 => write!(
            out,
            "ERROR [http-8080-exec-{small}] InvoiceService - invoice {id} could not be posted: connection to {ip}:{port} \
             timed out after {large} ms"
        ),
        8 => {
            write!(out, "DHCPACK on {ip} to 52:54:00:{small:02}:{:02x}:{:02x} via eth0", id % 256, port % 256)
        }
        _ => write!(
            out,
            "type=SYSCALL msg=audit({large}:{id}): arch=c000003e syscall=59 success=yes ppid={port} auid=1000 \
             comm=\"{user}\" exe=\"/usr/bin/sudo\" key=\"exec\""
        ),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_has_its_length_and_its_number_at_the_end() {
        let messages = Messages::new("udp");
        for number in 0..5_000 {
            let mut out = b"before".to_vec();
            messages.syslog(number, &mut out);
            messages.line(number, &mut out);
            assert_eq!(out.len(), 6 + 2 * LENGTH);
            assert!(out.ends_with(format!(" udp-seq={number}").as_bytes()));
            assert!(out.is_ascii() && !out.contains(&b'\n'));
        }
    }
}
