//! What the names of `#Fields` mean to the table W3CIISLog.

use std::collections::HashMap;
use std::collections::HashSet;
use std::ops::RangeInclusive;

use crate::record::Column;

/// Most fields of a line.
const MOST_FIELDS: usize = 256;
/// Most bytes of their names that are kept; IIS has some 20 fields of its own.
const LONGEST: usize = 4096;
/// Stands for those behind the last that is kept.
const AND_MORE: &str = "...";
/// A column of 32 bits.
const INT: RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;
/// A column of 64 bits.
const LONG: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// One field of a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Field {
    /// The day, UTC.
    Date,
    /// The time of the day.
    Time,
    /// A column of text.
    Text(Column),
    /// A column of numbers, and which it takes.
    Number(Column, RangeInclusive<i64>),
    /// The table has no column for it.
    Custom(Box<str>),
}

impl Field {
    /// Returns the fields of a directive. What comes twice has no column the second time, and a name of its own.
    pub(super) fn all(names: &str) -> Vec<Self> {
        let mut fields: Vec<Self> = Vec::new();
        let mut there: HashSet<Self> = HashSet::new();
        // How often each name came: a name that comes all the time costs no more than others.
        let mut times: HashMap<&str, usize> = HashMap::new();
        for name in names.split_ascii_whitespace().take(MOST_FIELDS) {
            let again = times.entry(name).or_default();
            let mut field = Self::of(name);
            while there.contains(&field) {
                *again += 1;
                field = match *again {
                    1 => Self::Custom(name.into()),
                    _ => Self::Custom(format!("{name}_{again}").into()),
                };
            }
            there.insert(field.clone());
            fields.push(field);
        }
        fields
    }

    /// Returns as much of a directive as is kept: whole names, and a field for the others. With it nobody takes the last
    /// name that is kept for that of a line's last value.
    pub(super) fn kept(names: &str) -> String {
        if names.len() <= LONGEST && names.split_ascii_whitespace().count() <= MOST_FIELDS {
            return names.to_owned();
        }
        let mut kept = String::new();
        for name in names.split_ascii_whitespace().take(MOST_FIELDS - 1) {
            if kept.len() + name.len() + AND_MORE.len() + 2 > LONGEST {
                break;
            }
            kept.push_str(name);
            kept.push(' ');
        }
        kept.push_str(AND_MORE);
        kept
    }

    /// Returns whether a client or somebody's module has a say in its value, so that spaces may stand in it.
    pub(super) fn is_loose(&self) -> bool {
        match self {
            Self::Date | Self::Time | Self::Number(..) => false,
            Self::Custom(_) => true,
            Self::Text(column) => matches!(
                column,
                Column::CsUriStem
                    | Column::CsUriQuery
                    | Column::CsUserName
                    | Column::CsUserAgent
                    | Column::CsCookie
                    | Column::CsReferer
                    | Column::CsHost
            ),
        }
    }

    /// Reads a name of IIS, or one of Advanced Logging for the same.
    fn of(name: &str) -> Self {
        let text = match name.to_ascii_lowercase().as_str() {
            "date" | "date-utc" => return Self::Date,
            "time" | "time-utc" => return Self::Time,
            "s-port" => return Self::Number(Column::SPort, INT),
            "sc-bytes" => return Self::Number(Column::ScBytes, LONG),
            "cs-bytes" => return Self::Number(Column::CsBytes, LONG),
            "time-taken" | "timetakenms" => return Self::Number(Column::TimeTaken, LONG),
            "s-sitename" => Column::SSiteName,
            "s-computername" => Column::SComputerName,
            "s-ip" => Column::SIp,
            "cs-method" => Column::CsMethod,
            "cs-uri-stem" => Column::CsUriStem,
            "cs-uri-query" => Column::CsUriQuery,
            "cs-username" => Column::CsUserName,
            "c-ip" => Column::CIp,
            "cs-version" => Column::CsVersion,
            "cs(user-agent)" => Column::CsUserAgent,
            "cs(cookie)" => Column::CsCookie,
            "cs(referer)" => Column::CsReferer,
            "cs-host" | "cs(host)" => Column::CsHost,
            "sc-status" => Column::ScStatus,
            "sc-substatus" => Column::ScSubStatus,
            "sc-win32-status" => Column::ScWin32Status,
            _ => return Self::Custom(name.into()),
        };
        Self::Text(text)
    }
}
