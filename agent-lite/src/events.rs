//! What the agent says in its log: one id for each thing an operator acts on.
//!
//! The ids are the agent's own, from 500 on; [`say`] is the only way to log.

use std::fmt;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed that the agent cannot mend by itself.
    Error,
    /// Something was lost or is late.
    Warn,
    /// As it should be.
    Info,
}

macro_rules! events {
    ($($name:ident = $id:literal $level:ident $text:literal),* $(,)?) => {
        /// A thing that happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Event { $(#[doc = $text] $name = $id,)* }

        impl Event {
            /// Every event.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the number.
            pub fn id(self) -> u16 { self as u16 }

            /// Returns how much it matters.
            pub fn level(self) -> Level { match self { $(Self::$name => Level::$level,)* } }

            /// Returns what it says.
            pub fn text(self) -> &'static str { match self { $(Self::$name => $text,)* } }
        }
    };
}

events! {
    Started = 500 Info "the agent has started",
    Stopping = 501 Info "the agent is stopping",
    Reloaded = 502 Info "the configuration was read anew",
    NotReloaded = 503 Error "the new configuration is wrong, the old one stays",
    Listening = 504 Info "a source listens",
    SourceFailed = 505 Error "a source cannot run and is tried again",
    SourceTrouble = 506 Warn "a source met something it cannot read",
    Onboarded = 510 Info "the workspace knows this agent now",
    Renewed = 511 Info "the agent's certificate was renewed",
    NotRenewed = 512 Error "the agent's certificate could not be renewed",
    TopologyFailed = 513 Warn "the service did not take the topology request",
    TopologyResumed = 514 Info "the service takes topology requests again",
    GatewayUp = 520 Info "a gateway serves again",
    GatewayDown = 521 Error "a gateway does not serve",
    GatewayChanged = 522 Warn "another gateway is used",
    UploadFailed = 530 Warn "a workspace does not take records, they wait in its queue",
    UploadResumed = 531 Info "a workspace takes records again",
    RecordsRejected = 532 Error "records were refused by the service and set aside",
    Throttled = 533 Info "the service asked to wait",
    SpoolFull = 540 Warn "the queue is full",
    SpoolDamaged = 541 Error "a piece of the queue is damaged and was set aside",
    SpoolTorn = 542 Warn "the end of the queue was unfinished and was cut",
    DiskTrouble = 543 Error "the queue cannot be written",
    StateDamaged = 544 Error "a file of the agent's state is damaged and was set aside",
    StateNotWritten = 545 Error "a file of the agent's state cannot be written",
    Lost = 550 Warn "something was lost",
    Cloned = 560 Warn "this machine is a clone: it takes a new identity, and what it inherited is set aside",
    Resealed = 561 Info "a part of the machine is another one, its identity is sealed anew",
    SealUnreadable = 562 Warn "the seal of this machine cannot be read, it is sealed anew",
    InheritedRemoved = 563 Warn "more was inherited than is kept, the oldest was removed",
    InheritedLeft = 564 Warn "more was inherited than is kept, and what is too much cannot be removed",
    RuleTaken = 580 Info "a data collection rule was taken",
    RuleProven = 581 Info "sending goes on with the data collection rule, it is the last good one now",
    RuleRefused = 582 Error "a data collection rule was refused, what was collected before goes on",
    RuleRolledBack = 583 Error "sending stopped after a data collection rule was taken, the one before is back",
    RuleUnreachable = 584 Warn "the data collection rule cannot be looked at, the one before goes on",
    RuleReachable = 585 Info "the data collection rule can be looked at again",
}

/// Says an event with its details: what, where, and what to change.
pub fn say(event: Event, place: &str, detail: impl fmt::Display) {
    let (id, detail) = (event.id(), OneLine(detail));
    match event.level() {
        Level::Error => tracing::error!(event_id = id, place, %detail, "{}", event.text()),
        Level::Warn => tracing::warn!(event_id = id, place, %detail, "{}", event.text()),
        Level::Info => tracing::info!(event_id = id, place, %detail, "{}", event.text()),
    }
}

/// Text that others had a hand in, such as the name of a file: it stays on its line, and no terminal obeys it.
///
/// What controls a terminal or the order of its letters is shown as JSON would write it, so JSON stays the same JSON.
#[derive(Clone, Copy, Debug)]
pub struct OneLine<T>(pub T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::write(&mut Escaping(f), format_args!("{}", self.0))
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, special)) = rest.char_indices().find(|(_, letter)| is_special(*letter)) {
            self.0.write_str(rest.get(..at).unwrap_or_default())?;
            match special {
                '\n' => self.0.write_str("\\n")?,
                '\r' => self.0.write_str("\\r")?,
                '\t' => self.0.write_str("\\t")?,
                other => write!(self.0, "\\u{:04x}", u32::from(other))?,
            }
            rest = rest.get(at + special.len_utf8()..).unwrap_or_default();
        }
        self.0.write_str(rest)
    }
}

/// Control characters, ends of lines, and what turns the direction of writing (Unicode, Bidi_Control).
fn is_special(letter: char) -> bool {
    let turns = matches!(letter, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || turns || matches!(letter, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_makes_no_second_line_and_moves_no_cursor() {
        let cases = [
            ("/var/log/a b.log: it is „text“", "/var/log/a b.log: it is „text“"),
            ("x\n2026-01-01 ERROR forged", "x\\n2026-01-01 ERROR forged"),
            ("\u{1b}[2J\u{9b}31m\u{7f}\r\t\0", "\\u001b[2J\\u009b31m\\u007f\\r\\t\\u0000"),
            ("gpj\u{202e}.exe\u{2028}", "gpj\\u202e.exe\\u2028"),
        ];
        for (text, shown) in cases {
            assert_eq!(OneLine(text).to_string(), shown);
        }
        let json = serde_json::json!({ "a": "\u{9b}1m\u{202e}\u{7f}" });
        let shown = OneLine(&json).to_string();
        assert!(!shown.contains(is_special), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json);
    }
}
