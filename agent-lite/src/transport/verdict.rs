use std::time::Duration;
use std::time::SystemTime;

use http::HeaderMap;
use http::StatusCode;
use http::header::RETRY_AFTER;

use super::Form;

/// Longest time a service can make the agent wait with one answer: 1 h.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// What the status of an answer to records means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The service has them.
    Delivered,
    /// Later again, not before this time if the service named one.
    Wait(Option<Duration>),
    /// Too large: again in halves.
    Halve,
    /// Something in it is not liked: again in halves, until it stands alone.
    Bisect,
    /// A new token is needed.
    Authenticate,
    /// Not allowed, or not yet: slowly again.
    Forbidden,
    /// The destination does not exist, or not yet: slowly again.
    Missing,
}

/// Returns what a status means.
///
/// The legacy endpoint answers 404 and 500 to a workspace that is new (Microsoft, agent troubleshooting), so a
/// 404 is never a reason to drop. The HTTP Data Collector API also documents 404 for "the request is too
/// large", at 30 MB: ours have 1 MB at most, so there too the destination is meant.
pub fn verdict(form: &Form, status: StatusCode, retry_after: Option<Duration>) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Delivered,
        400 => Verdict::Bisect,
        401 => match form {
            Form::LogsIngestion => Verdict::Authenticate,
            Form::LogAnalyticsAgent { .. } | Form::DataCollector => Verdict::Forbidden,
        },
        403 => Verdict::Forbidden,
        404 => Verdict::Missing,
        413 => Verdict::Halve,
        _ => Verdict::Wait(retry_after.map(|wait| wait.min(LONGEST_RETRY_AFTER))),
    }
}

/// Returns how long an answer asks to wait, in seconds or by an HTTP date (RFC 9110, section 10.2.3), at most
/// [`LONGEST_RETRY_AFTER`].
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let wait = match digits {
        true => text.parse().map_or(LONGEST_RETRY_AFTER, Duration::from_secs),
        false => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::time::UNIX_EPOCH;

    const LEGACY: Form = Form::LogAnalyticsAgent { workspace: String::new() };

    #[test]
    fn every_status_has_one_meaning_for_each_transport() {
        use Verdict::*;
        let five = Some(Duration::from_secs(5));
        let cases = [
            (200, Delivered, Delivered, Delivered),
            (202, Delivered, Delivered, Delivered),
            (204, Delivered, Delivered, Delivered),
            (301, Wait(five), Wait(five), Wait(five)),
            (307, Wait(five), Wait(five), Wait(five)),
            (400, Bisect, Bisect, Bisect),
            (401, Forbidden, Forbidden, Authenticate),
            (403, Forbidden, Forbidden, Forbidden),
            (404, Missing, Missing, Missing),
            (407, Wait(five), Wait(five), Wait(five)),
            (408, Wait(five), Wait(five), Wait(five)),
            (413, Halve, Halve, Halve),
            (429, Wait(five), Wait(five), Wait(five)),
            (500, Wait(five), Wait(five), Wait(five)),
            (503, Wait(five), Wait(five), Wait(five)),
            (799, Wait(five), Wait(five), Wait(five)),
        ];
        for (status, legacy, collector, ingestion) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(verdict(&LEGACY, status, five), legacy, "{status}");
            assert_eq!(verdict(&Form::DataCollector, status, five), collector, "{status}");
            assert_eq!(verdict(&Form::LogsIngestion, status, five), ingestion, "{status}");
        }
    }

    #[test]
    fn a_wait_is_read_in_seconds_and_as_a_date_and_has_a_bound() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let cases = [
            ("0", Some(0)),
            (" 17 ", Some(17)),
            ("3601", Some(3600)),
            ("99999999999999999999999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:49:27 GMT", Some(3600)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (text, wait) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            assert_eq!(retry_after(&headers, now), wait.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
        let status = StatusCode::TOO_MANY_REQUESTS;
        let long = Some(Duration::from_secs(7200));
        assert_eq!(verdict(&LEGACY, status, long), Verdict::Wait(Some(LONGEST_RETRY_AFTER)));
    }
}
