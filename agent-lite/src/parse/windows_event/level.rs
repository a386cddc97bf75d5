/// Bits of the keywords that Windows itself gives a meaning (winmeta.xml).
const AUDIT_FAILURE: u64 = 0x0010_0000_0000_0000;
const AUDIT_SUCCESS: u64 = 0x0020_0000_0000_0000;

/// Returns the table's name of a level.
///
/// Critical is `Error` there (Azure Monitor's page on Windows event data sources); `EventLevel` tells the two
/// apart. Events of the security log have no level: whether an audit succeeded is in their keywords.
pub(super) fn level_name(level: u8, keywords: u64, rendered: Option<&str>) -> Option<String> {
    let known = match level {
        0 if keywords & AUDIT_FAILURE != 0 => "Audit Failure",
        0 if keywords & AUDIT_SUCCESS != 0 => "Audit Success",
        0 | 4 => "Information",
        1 | 2 => "Error",
        3 => "Warning",
        5 => "Verbose",
        6.. => return rendered.map(super::name).filter(|name| !name.is_empty()),
    };
    Some(known.to_owned())
}

/// Reads `0x8020000000000000`.
pub(super) fn keywords(text: &str) -> u64 {
    let digits = text.trim();
    let digits = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(digits);
    u64::from_str_radix(digits, 16).unwrap_or(0)
}
