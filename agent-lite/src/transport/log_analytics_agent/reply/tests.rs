use super::*;
use proptest::prelude::*;

const URL: &str = "https://w.oms.opinsights.azure.com/ConfigurationService.Svc/RenewCertificate";

fn workspace() -> WorkspaceEndpoints {
    WorkspaceEndpoints::new("w", "opinsights.azure.com").unwrap()
}

fn parse(text: &str) -> Result<TopologyReply, TopologyError> {
    TopologyReply::parse(text.as_bytes(), &workspace())
}

fn reply(update: &str, url: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><LinuxAgentTopologyResponse queryInterval=\"PT1H\" \
         telemetryReportInterval=\"PT10M\" id=\"GUID\" xmlns=\"http://schemas.microsoft.com/x\">\
         <CertificateUpdateEndpoint updateCertificate=\"{update}\">{url}</CertificateUpdateEndpoint>\
         <DscConfiguration><Endpoint>https://elsewhere.example/</Endpoint></DscConfiguration>\
         </LinuxAgentTopologyResponse>"
    )
}

#[test]
fn the_services_answer_is_understood() {
    for (update, asked) in [("true", true), ("false", false)] {
        let reply = parse(&reply(update, URL)).unwrap();
        assert_eq!(reply.update_certificate, asked);
        assert_eq!(reply.query_interval, Some(Duration::from_secs(3600)));
        assert_eq!(reply.telemetry_interval, Some(Duration::from_secs(600)));
        assert_eq!(reply.renewal.unwrap().to_string(), URL);
    }
    let pretty = reply("true", &format!("\n  {URL}?a=1&amp;b=2\n"));
    assert_eq!(parse(&pretty).unwrap().renewal.unwrap().to_string(), format!("{URL}?a=1&b=2"));
    assert_eq!(
        parse("<LinuxAgentTopologyResponse/>"),
        Ok(TopologyReply {
            renewal: None,
            update_certificate: false,
            query_interval: None,
            telemetry_interval: None
        })
    );
}

#[test]
fn a_certificate_is_renewed_nowhere_but_at_the_service() {
    for url in [
        "http://w.oms.opinsights.azure.com/RenewCertificate",
        "https://w.oms.opinsights.azure.com.evil.example/RenewCertificate",
        "https://evilopinsights.azure.com/RenewCertificate",
        "https://opinsights.azure.com/RenewCertificate",
        "https://u@w.oms.opinsights.azure.com/RenewCertificate",
        "https://10.0.0.1/RenewCertificate",
        "https://[::1]/RenewCertificate",
        "/RenewCertificate",
        "nonsense\u{1b}[2J",
    ] {
        let error = parse(&reply("true", url).replace('\u{1b}', " ")).unwrap_err();
        assert!(matches!(error, TopologyError::Endpoint(_)), "{url}");
    }
    let shown = RenewalEndpoint::parse("x\u{1b}\n", &workspace()).unwrap_err().to_string();
    assert!(!shown.contains('\u{1b}') && !shown.contains('\n'), "{shown}");
    let port = RenewalEndpoint::parse("https://a.opinsights.azure.com:8443/x", &workspace()).unwrap();
    assert_eq!(
        (port.host().port(), port.to_string().as_str()),
        (8443, "https://a.opinsights.azure.com:8443/x")
    );
}

#[test]
fn an_answer_of_another_kind_is_refused() {
    let cases = [
        ("", TopologyError::Form),
        ("OK", TopologyError::Form),
        ("<html></html>", TopologyError::Form),
        ("<LinuxAgentTopologyResponse", TopologyError::Form),
        ("<LinuxAgentTopologyResponse><a></b></LinuxAgentTopologyResponse>", TopologyError::Form),
    ];
    for (text, error) in cases {
        assert_eq!(parse(text), Err(error), "{text}");
    }
    assert_eq!(parse(&reply("yes", URL)), Err(TopologyError::UpdateCertificate));
    assert_eq!(parse(&reply("&lol;", URL)), Err(TopologyError::UpdateCertificate));
    assert_eq!(parse(&reply("true", "&lol;")), Err(TopologyError::Form));
    assert_eq!(TopologyReply::parse(b"\xff\xfe<", &workspace()), Err(TopologyError::Form));
}

#[test]
fn intervals_are_held_to_their_ranges() {
    let cases = [
        ("PT1S", Some(60)),
        ("PT20M", Some(1200)),
        ("P1D", Some(86_400)),
        ("P365D", Some(7 * 86_400)),
        ("-PT1H", Some(60)),
        ("P1Y", None),
        ("20", None),
        ("", None),
    ];
    for (text, seconds) in cases {
        assert_eq!(interval(text, QUERY_INTERVALS), seconds.map(Duration::from_secs), "{text}");
    }
    assert_eq!(interval("PT2H", TELEMETRY_INTERVALS), Some(Duration::from_secs(3600)));
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..500, byte in any::<u8>(),
    ) {
        let _ = TopologyReply::parse(&bytes, &workspace());
        let mut changed = reply("true", URL).into_bytes();
        if let Some(place) = changed.get_mut(at) {
            *place = byte;
        }
        if let Ok(TopologyReply { renewal: Some(renewal), .. }) = TopologyReply::parse(&changed, &workspace()) {
            prop_assert!(renewal.host().name().as_str().ends_with(".opinsights.azure.com"));
        }
    }
}
