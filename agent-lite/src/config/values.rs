//! Values that are written as strings and are more than strings.

use std::str::FromStr;

use bytesize::ByteSize;
use common::proxy_url::ProxyUrl;
use common::proxy_url::ProxyUrlError;
use encoding_rs::Encoding;

use super::settings::ChannelQuery;
use super::settings::RecordStart;
use super::settings::TimeForm;

/// The gateway's port where a proxy value has none.
pub const GATEWAY_PORT: u16 = 8080;

/// A gateway; its port is [`GATEWAY_PORT`] when none is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy(pub(super) ProxyUrl);

impl FromStr for Proxy {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ProxyUrl::with_default_port(text, GATEWAY_PORT).map(Self)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "write a size with its unit, as in `512KiB`, `500MB` or `10GiB`";
        let size: ByteSize = text.parse().map_err(|_| wrong)?;
        // A bare number would be bytes, and is a mistake.
        match text.trim_end().ends_with(|last: char| last.is_ascii_digit()) {
            true => Err(wrong),
            false => Ok(Self(size.as_u64())),
        }
    }
}

/// A channel of Windows' event log and which of its events are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query(pub(super) ChannelQuery);

impl FromStr for Query {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LONGEST_CHANNEL: usize = 255;
        let (channel, query) = text.split_once('!').unwrap_or((text, "*"));
        let (channel, query) = (channel.trim(), query.trim());
        let plain = !text.chars().any(char::is_control);
        if channel.is_empty() || channel.len() > LONGEST_CHANNEL || query.is_empty() || !plain {
            return Err(
                "write a channel, `!` and XPath, as in `System!*[System[Level<=3]]`, or a channel alone",
            );
        }
        Ok(Self(ChannelQuery { channel: channel.to_owned(), query: query.to_owned() }))
    }
}

/// The names of facilities, in the order of their numbers.
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "at", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// The names of severities, in the order of their numbers.
pub const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// The name of a facility.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facility(pub(super) &'static str);

impl FromStr for Facility {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = FACILITIES.into_iter().find(|known| *known == text);
        found.map(Self).ok_or_else(|| format!("write one of {}", FACILITIES.join(", ")))
    }
}

/// A severity, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Severity(pub(super) u8);

impl FromStr for Severity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = (0_u8..).zip(SEVERITIES).find(|(_, known)| *known == text);
        found.map(|(number, _)| Self(number)).ok_or_else(|| format!("write one of {}", SEVERITIES.join(", ")))
    }
}

/// An encoding in which ASCII is ASCII: UTF-8 or an ANSI code page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodePage(pub(super) &'static Encoding);

impl FromStr for CodePage {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Encoding::for_label(text.as_bytes()).filter(|encoding| encoding.is_ascii_compatible());
        found
            .map(Self)
            .ok_or("write `utf-8`, or the server's ANSI code page as in `windows-1252`, `gbk` or `shift_jis`")
    }
}

/// Where a record of a text log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordForm(pub(super) RecordStart);

impl Default for RecordForm {
    fn default() -> Self {
        Self(RecordStart::NewLine)
    }
}

/// The eight forms, in Azure Monitor's own notation.
const TIME_FORMS: [(&str, TimeForm); 8] = [
    ("YYYY-MM-DD HH:MM:SS", TimeForm::YearFirst),
    ("M/D/YYYY HH:MM:SS AM/PM", TimeForm::MonthFirst),
    ("Mon DD, YYYY HH:MM:SS", TimeForm::MonthName),
    ("yyMMdd HH:mm:ss", TimeForm::Short),
    ("ddMMyy HH:mm:ss", TimeForm::ShortDayFirst),
    ("MMM d hh:mm:ss", TimeForm::Syslog),
    ("dd/MMM/yyyy:HH:mm:ss zzz", TimeForm::WebServer),
    ("yyyy-MM-ddTHH:mm:ssK", TimeForm::Iso8601),
];

impl FromStr for RecordForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "new-line" {
            return Ok(Self::default());
        }
        let found = TIME_FORMS.iter().find(|(written, _)| *written == text);
        found.map(|(_, form)| Self(RecordStart::Time(*form))).ok_or_else(|| {
            let forms: Vec<_> = TIME_FORMS.iter().map(|(written, _)| format!("`{written}`")).collect();
            format!("write `new-line`, or one of the forms of time {}", forms.join(", "))
        })
    }
}
