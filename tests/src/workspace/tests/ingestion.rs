use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use super::caller::AGENT;
use super::caller::Identity;
use super::caller::Stage;
use super::caller::WORKSPACE;
use super::caller::gzipped;
use crate::wire::Answer;
use crate::workspace::LARGEST_CALL;
use crate::workspace::Way;
use crate::workspace::certificate;

const FORM: [(&str, &str); 1] = [("Content-Type", "application/x-www-form-urlencoded")];
const GRANT: &str = "grant_type=client_credentials&scope=https%3A%2F%2Fmonitor.azure.com%2F.default";
const ASSERTION: &str = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

async fn ask(stage: &Stage, form: &str) -> Answer {
    let workspace = stage.workspace();
    let line = format!("POST /{}/oauth2/v2.0/token", workspace.tenant);
    stage.send(&workspace.login(), None, &line, &FORM, form.as_bytes()).await
}

async fn token(stage: &Stage) -> String {
    let workspace = stage.workspace();
    let secret = workspace.secret.replace('+', "%2B").replace('/', "%2F");
    let answer = ask(stage, &format!("{GRANT}&client_id={}&client_secret={secret}", workspace.client)).await;
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    let answer: Value = serde_json::from_str(answer.text()).expect("JSON");
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(3599)));
    answer["access_token"].as_str().expect("a token").to_owned()
}

async fn post(stage: &Stage, token: &str, stream: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
    let workspace = stage.workspace();
    let line =
        format!("POST /dataCollectionRules/{}/streams/{stream}?api-version=2023-01-01", workspace.rule);
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    headers.extend(more);
    stage.send(&workspace.endpoint, None, &line, &headers, body).await
}

fn base64_url(bytes: &[u8]) -> String {
    crate::workspace::encoding::base64(bytes).replace('+', "-").replace('/', "_").replace('=', "")
}

fn assertion(stage: &Stage, signer: &Identity, changes: &[(&str, Value)]) -> String {
    let workspace = stage.workspace();
    let registered = workspace.certificate.as_deref().expect("a certificate");
    let [thumbprint, _] = certificate::thumbprints(registered);
    let mut header = json!({"alg": "RS256", "typ": "JWT", "x5t": base64_url(&thumbprint)});
    let now = jiff::Timestamp::now().as_second();
    let audience = format!("https://{}/{}/oauth2/v2.0/token", workspace.login(), workspace.tenant);
    let mut claims = json!({"aud": audience, "iss": workspace.client, "sub": workspace.client, "nbf": now - 60,
        "exp": now + 600, "jti": super::caller::request_id()});
    for (name, value) in changes {
        let part = if header.get(name).is_some() { &mut header } else { &mut claims };
        part[*name] = value.clone();
    }
    let signed = format!(
        "{}.{}",
        base64_url(header.to_string().as_bytes()),
        base64_url(claims.to_string().as_bytes())
    );
    let signature = signer.sign(&signed);
    format!("{signed}.{}", base64_url(&signature))
}

fn by_assertion(stage: &Stage, assertion: &str) -> String {
    let client = &stage.workspace().client;
    format!("{GRANT}&client_id={client}&client_assertion_type={ASSERTION}&client_assertion={assertion}")
}

#[tokio::test]
async fn a_token_is_given_for_a_secret_or_a_signed_assertion_and_for_nothing_else() {
    let stage = Stage::new().await;
    let signer = Identity::new(WORKSPACE, AGENT);
    token(&stage).await;
    let once = by_assertion(&stage, &assertion(&stage, &signer, &[]));
    assert_eq!(ask(&stage, &once).await.head.status, 200, "{}", stage.last_problem());
    stage.fake.assert_no_problems();
    assert_eq!(ask(&stage, &once).await.head.status, 401, "used twice");
    let past = jiff::Timestamp::now().as_second() - 10;
    let cases = [
        ("alg", json!("none"), "RS256"),
        ("x5t", json!("AAAA"), "another certificate"),
        ("aud", json!("https://login.microsoftonline.com/common"), "aud, iss or sub"),
        ("iss", json!("someone"), "aud, iss or sub"),
        ("exp", json!(past), "not valid now"),
        ("nbf", json!(past + 1000), "not valid now"),
        ("jti", Value::Null, "no jti"),
    ];
    for (name, value, says) in cases {
        let form = by_assertion(&stage, &assertion(&stage, &signer, &[(name, value)]));
        let answer = ask(&stage, &form).await;
        assert_eq!((answer.head.status, answer.text().contains(says)), (401, true), "{}", answer.text());
    }
    let mut forged = assertion(&stage, &signer, &[]);
    let at = forged.rfind('.').expect("a dot") + 10;
    let other = if &forged[at..=at] == "A" { "B" } else { "A" };
    forged.replace_range(at..=at, other);
    assert!(ask(&stage, &by_assertion(&stage, &forged)).await.text().contains("another key's"));
    let client = stage.workspace().client.clone();
    let forms = [
        (format!("{GRANT}&client_id={client}&client_secret=wrong"), 401),
        (format!("{GRANT}&client_id={client}"), 401),
        (format!("{GRANT}&client_id=nobody&client_secret=x"), 400),
        (format!("grant_type=password&client_id={client}"), 400),
        (
            format!("grant_type=client_credentials&scope=https%3A%2F%2Fmonitor.azure.com&client_id={client}"),
            400,
        ),
    ];
    for (form, status) in forms {
        assert_eq!(ask(&stage, &form).await.head.status, status, "{form}");
    }
}

#[tokio::test]
async fn records_need_a_living_token_of_the_rules_own_application() {
    let stage = Stage::new().await;
    let body = br#"[{"TimeGenerated":"2026-01-01T00:00:00Z"}]"#;
    assert_eq!(post(&stage, "made-up", "Microsoft-Syslog", &[], body).await.head.status, 401);
    let first = token(&stage).await;
    assert_eq!(post(&stage, &first, "Microsoft-Syslog", &[], body).await.head.status, 204);
    stage.fake.revoke_tokens();
    assert_eq!(post(&stage, &first, "Microsoft-Syslog", &[], body).await.head.status, 401);
    let token = token(&stage).await;
    let answer = post(&stage, &token, "Custom-Other_CL", &[], body).await;
    assert_eq!((answer.head.status, answer.head.header("x-ms-error-code")), (400, Some("InvalidStream")));
    let other = stage.fake.workspaces()[1].clone();
    for (host, rule, status) in
        [(&other.endpoint, &other.rule, 403), (&other.endpoint, &stage.workspace().rule, 404)]
    {
        let line =
            format!("POST /dataCollectionRules/{rule}/streams/Microsoft-Syslog?api-version=2023-01-01");
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        assert_eq!(stage.send(host, None, &line, &headers, body).await.head.status, status, "{rule}");
    }
    stage.fake.shift_clock(70);
    assert_eq!(post(&stage, &token, "Microsoft-Syslog", &[], body).await.head.status, 401, "run out");
}

#[tokio::test]
async fn a_short_life_of_tokens_ends_on_time() {
    let stage = Stage::new().await;
    stage.fake.token_life(Duration::ZERO);
    let workspace = stage.workspace();
    let secret = workspace.secret.replace('+', "%2B");
    let answer = ask(&stage, &format!("{GRANT}&client_id={}&client_secret={secret}", workspace.client)).await;
    let answer: Value = serde_json::from_str(answer.text()).expect("JSON");
    let given = answer["access_token"].as_str().expect("a token");
    assert_eq!(post(&stage, given, "Microsoft-Syslog", &[], b"[]").await.head.status, 401);
}

/// Returns an array of exactly so many bytes.
fn array_of(bytes: usize) -> Vec<u8> {
    let (head, tail) = (r#"[{"TimeGenerated":"2026-01-01T00:00:00Z","RawData":""#, r#""}]"#);
    let mut body = head.as_bytes().to_vec();
    body.resize(bytes - tail.len(), b'x');
    body.extend_from_slice(tail.as_bytes());
    body
}

#[tokio::test]
async fn a_call_has_at_most_a_megabyte_before_and_after_compression() {
    let stage = Stage::new().await;
    let token = token(&stage).await;
    let gzip = [("Content-Encoding", "gzip")];
    let cases = [
        (array_of(LARGEST_CALL), None, 204),
        (array_of(LARGEST_CALL + 1), None, 413),
        (gzipped(&array_of(LARGEST_CALL)), Some(gzip), 204),
        (gzipped(&array_of(LARGEST_CALL + 1)), Some(gzip), 413),
    ];
    for (at, (body, encoding, status)) in cases.into_iter().enumerate() {
        let more = encoding.as_ref().map_or(&[][..], |gzip| gzip.as_slice());
        assert_eq!(post(&stage, &token, "Custom-App_CL", more, &body).await.head.status, status, "case {at}");
    }
    assert_eq!(stage.fake.count(WORKSPACE, "App_CL"), 2);
    let cuts = stage.fake.cut_fields();
    assert_eq!((cuts.len(), cuts[0].column.as_str()), (2, "RawData"));
    assert_eq!(stage.fake.rows(WORKSPACE, "App_CL")[0].text("RawData").len(), 64 * 1024);
    let deflate = [("Content-Encoding", "deflate")];
    assert_eq!(post(&stage, &token, "Custom-App_CL", &deflate, b"[]").await.head.status, 415);
}

#[tokio::test]
async fn columns_are_compared_with_the_streams_declaration() {
    let stage = Stage::new().await;
    let token = token(&stage).await;
    let now = jiff::Timestamp::now().to_string();
    let good = json!({"TimeGenerated": now, "EventTime": now, "Computer": "vm", "ProcessID": 7, "SyslogMessage": "m"});
    let body = json!([good]).to_string();
    assert_eq!(post(&stage, &token, "Microsoft-Syslog", &[], body.as_bytes()).await.head.status, 204);
    stage.fake.assert_no_problems();
    let row = &stage.fake.rows(WORKSPACE, "Syslog")[0];
    assert_eq!((Value::Object(row.columns.clone()), row.way), (good.clone(), Way::Ingestion));
    let cases = [
        ("Colour", json!("red"), "no column Colour"),
        ("ProcessID", json!("7"), "ProcessID is Int"),
        ("ProcessID", json!(3_000_000_000_u64), "ProcessID is Int"),
        ("EventTime", json!("yesterday"), "EventTime is DateTime"),
        ("Computer", json!(1), "Computer is String"),
        ("TimeGenerated", Value::Null, "no TimeGenerated"),
    ];
    for (name, value, says) in cases {
        let mut record = good.clone();
        record[name] = value;
        let body = json!([record]).to_string();
        assert_eq!(post(&stage, &token, "Microsoft-Syslog", &[], body.as_bytes()).await.head.status, 204);
        assert!(stage.last_problem().contains(says), "{says}: {}", stage.last_problem());
    }
    let count = stage.fake.count(WORKSPACE, "Syslog");
    for (body, status) in [("{\"Computer\":\"vm\"}", 204), ("[1]", 400), ("", 400), ("[{]", 400)] {
        assert_eq!(post(&stage, &token, "Microsoft-Syslog", &[], body.as_bytes()).await.head.status, status);
    }
    assert_eq!(stage.fake.count(WORKSPACE, "Syslog"), count);
}
