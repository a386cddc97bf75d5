/// The names of the facilities 0 to 23; 12 to 15 as the legacy agent has them (`facts/oms-protocol.md`, 8.3).
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "at", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// The names of the severities 0 to 7, as the legacy agent has them.
pub const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

/// Returns the facility and the severity of a PRI.
pub(super) fn of(priority: u8) -> (&'static str, &'static str) {
    let facility = FACILITIES.get(usize::from(priority >> 3)).copied().unwrap_or("user");
    let severity = SEVERITIES.get(usize::from(priority & 7)).copied().unwrap_or("notice");
    (facility, severity)
}
