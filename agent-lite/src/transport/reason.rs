use quick_xml::Reader;
use quick_xml::events::Event;

use super::LARGEST_ANSWER;

/// Most characters of a service's own words that are passed on.
const LONGEST_REASON: usize = 300;

/// Returns what a service says about a failure: `<Reason>` of XML, or the code and message of JSON. It is for a
/// person: short, and without control characters.
pub fn reason(body: &[u8]) -> Option<String> {
    let body = body.get(..LARGEST_ANSWER).unwrap_or(body);
    let text = String::from_utf8_lossy(body);
    let said = match serde_json::from_str(&text) {
        Ok(json) => of_json(&json),
        Err(_) => of_xml(&text),
    }?;
    let plain = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    let plain: String = plain.take(LONGEST_REASON).collect();
    let plain = plain.trim();
    (!plain.is_empty()).then(|| plain.to_owned())
}

/// Logs Ingestion API: `{"error":{"code","message"}}`; Entra: `{"error":"…","error_description":"…"}`; HTTP
/// Data Collector API: `{"Error":"…","Message":"…"}`.
fn of_json(json: &serde_json::Value) -> Option<String> {
    let text = |value: &serde_json::Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
    let (code, message) = match json.get("error") {
        Some(error) if error.is_object() => (text(error, "code"), text(error, "message")),
        Some(_) => (text(json, "error"), text(json, "error_description")),
        None => (text(json, "Error"), text(json, "Message")),
    };
    match (code, message) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (one, other) => one.or(other),
    }
}

fn of_xml(text: &str) -> Option<String> {
    let mut reader = Reader::from_str(text);
    let (mut inside, mut said) = (false, String::new());
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if start.local_name().as_ref() == "Reason" => inside = true,
            Event::End(end) if end.local_name().as_ref() == "Reason" => return Some(said),
            Event::Text(text) if inside => said.push_str(&text.xml10_content()),
            Event::GeneralRef(_) if inside => said.push(' '),
            Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_quoted_shortly_and_without_control_characters() {
        let long = format!("{{\"error\":{{\"code\":\"{}\"}}}}", "x".repeat(1000));
        let cut = "x".repeat(300);
        let cases = [
            (
                "<E xmlns='u'><Code>1</Code><Reason> clock\n is &#10; off\u{1b}[2J</Reason></E>",
                Some("clock  is   off [2J"),
            ),
            ("<Reason/>", None),
            ("<Reason>half", None),
            (
                r#"{"error":{"code":"InvalidStream","message":"no such stream"}}"#,
                Some("InvalidStream: no such stream"),
            ),
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215"}"#,
                Some("invalid_client: AADSTS7000215"),
            ),
            (
                r#"{"Error":"InvalidAuthorization","Message":"bad key"}"#,
                Some("InvalidAuthorization: bad key"),
            ),
            (r#"{"error":{}}"#, None),
            ("[1]", None),
            ("", None),
            ("<html><body>proxy</body></html>", None),
            (long.as_str(), Some(cut.as_str())),
        ];
        for (body, said) in cases {
            assert_eq!(reason(body.as_bytes()).as_deref(), said, "{body}");
        }
        assert_eq!(reason(b"\xff\xfe<Reason>\xff</Reason>").as_deref(), Some("\u{fffd}"));
    }
}
