/// Accounts that are the same on every machine, by their security identifiers (MS-DTYP 2.4.2.4), as Windows in
/// English calls them. Every other SID means something to one domain only and stays as it is.
const WELL_KNOWN: [(&str, &str); 7] = [
    ("S-1-1-0", "Everyone"),
    ("S-1-5-7", r"NT AUTHORITY\ANONYMOUS LOGON"),
    ("S-1-5-18", r"NT AUTHORITY\SYSTEM"),
    ("S-1-5-19", r"NT AUTHORITY\LOCAL SERVICE"),
    ("S-1-5-20", r"NT AUTHORITY\NETWORK SERVICE"),
    ("S-1-5-32-544", r"BUILTIN\Administrators"),
    ("S-1-5-32-545", r"BUILTIN\Users"),
];

/// Returns an account's name, or the SID itself.
pub(super) fn account(sid: &str) -> &str {
    WELL_KNOWN.iter().find(|(known, _)| *known == sid).map_or(sid, |(_, name)| name)
}
