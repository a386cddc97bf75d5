use serde_json::Value;
use serde_json::json;

use super::caller::AGENT;
use super::caller::Identity;
use super::caller::Stage;
use super::caller::WORKSPACE;
use super::caller::request_id;
use crate::wire::Answer;
use crate::workspace::Way;
use crate::workspace::encoding;

const META: [(&str, &str); 5] = [
    ("Content-Type", "application/octet-stream"),
    ("x-ms-version", "2016-05-31"),
    ("x-ms-meta-TimeZoneid", "UTC"),
    ("x-ms-meta-ComputerName", "edge7"),
    ("x-ms-meta-FilePath", "/var/log/app.log"),
];

fn kind() -> String {
    format!("App_CL_{WORKSPACE}")
}

fn uri_body() -> Value {
    let file = "ab".repeat(32);
    let suffix =
        format!("{}/00000000-0000-0000-0000-000000000002/edge7/{AGENT}/d=20261122/{file}.log", kind());
    json!({"ContainerType": "CustomLog", "DataTypeId": format!("CUSTOM_LOG_BLOB.{}", kind()),
        "ExpiryDuration": "00:10:00", "Suffix": suffix, "SkipScanningQueue": true, "SupportWriteOnlyBlob": true})
}

async fn ods(stage: &Stage, identity: &Identity, path: &str, body: &Value) -> Answer {
    let id = request_id();
    let headers = [("Content-Type", "application/json"), ("X-Request-ID", id.as_str())];
    let line = format!("POST /ContainerService.svc/{path}");
    stage.send(&stage.workspace().ods(), Some(identity), &line, &headers, body.to_string().as_bytes()).await
}

async fn put(stage: &Stage, uri: &str, more: &str, body: &[u8]) -> Answer {
    let (host, path) = uri.strip_prefix("https://").and_then(|rest| rest.split_once('/')).expect("a URI");
    stage.send(host, None, &format!("PUT /{path}{more}"), &META, body).await
}

fn block_id(number: u8) -> String {
    encoding::base64(format!("00000000-0000-4000-8000-0000000000{number:02}").as_bytes())
}

fn list(old: &[String], new: &[String]) -> String {
    let element = |kind: &str, ids: &[String]| -> String {
        ids.iter().map(|id| format!("<{kind}>{id}\n</{kind}>")).collect()
    };
    format!("<BlockList>{}{}</BlockList>", element("Committed", old), element("Uncommitted", new))
}

fn notification(uri: &str, start: usize, end: usize, etag: &str) -> Value {
    let url = uri.split('?').next().expect("a URL");
    json!({"metadata-TimeZoneId": "UTC", "DataType": "BLOB_UPLOAD_NOTIFICATION", "IPName": "", "DataItems": [
        {"BlobUrl": url, "OriginalDataTypeId": format!("CUSTOM_LOG_BLOB.{}", kind()), "StartOffset": start,
         "FileSize": end, "Etag": etag}]})
}

/// One whole upload, from the URI to the list; returns the URI and the ETag.
async fn upload(stage: &Stage, identity: &Identity, number: u8, text: &str) -> (String, String) {
    let answer = ods(stage, identity, "GetBlobUploadUri", &uri_body()).await;
    let place: Value = serde_json::from_str(answer.text()).expect("JSON");
    let uri = place["Uri"].as_str().expect("a URI").to_owned();
    let old: Vec<String> = serde_json::from_value(place["CommittedBlockList"].clone()).unwrap_or_default();
    let id = block_id(number);
    let answer = put(stage, &uri, &format!("&comp=block&blockid={id}"), text.as_bytes()).await;
    assert_eq!(answer.head.status, 201, "{}", stage.last_problem());
    let answer = put(stage, &uri, "&comp=blocklist", list(&old, &[id]).as_bytes()).await;
    assert_eq!(answer.head.status, 201, "{}", stage.last_problem());
    (uri, answer.head.header("etag").expect("an ETag").trim_matches('"').to_owned())
}

#[tokio::test]
async fn lines_of_a_blob_become_rows_in_bytes_not_characters() {
    let stage = Stage::new().await;
    let identity = Identity::new(WORKSPACE, AGENT);
    stage.onboard(&identity).await;
    let (first, second) = ("Grüße\r\nzwei\nzeilig seq=1\r\n", "drei\r\n");
    let (uri, etag) = upload(&stage, &identity, 1, first).await;
    let done = notification(&uri, 0, first.len(), &etag);
    assert_eq!(ods(&stage, &identity, "PostBlobUploadNotification", &done).await.head.status, 200);
    let (uri, etag) = upload(&stage, &identity, 2, second).await;
    let done = notification(&uri, first.len(), first.len() + second.len(), &etag);
    assert_eq!(ods(&stage, &identity, "PostBlobUploadNotification", &done).await.head.status, 200);
    stage.fake.assert_no_problems();
    let rows = stage.fake.rows(WORKSPACE, "App_CL");
    let lines: Vec<_> = rows.iter().map(|row| row.text("RawData")).collect();
    assert_eq!(lines, ["Grüße", "zwei\nzeilig seq=1", "drei"]);
    assert_eq!((rows[0].text("Computer"), rows[0].text("FilePath")), ("edge7", "/var/log/app.log"));
    assert_eq!((rows[0].way, rows[0].agent.as_deref()), (Way::Blob, Some(AGENT)));
    assert!(stage.fake.sequence(WORKSPACE, "App_CL", "").has(1));
    ods(
        &stage,
        &identity,
        "PostBlobUploadNotification",
        &notification(&uri, first.len(), first.len() + second.len(), &etag),
    )
    .await;
    assert!(stage.last_problem().contains("notified before"), "{}", stage.last_problem());
}

#[tokio::test]
async fn every_check_of_an_upload_can_fail() {
    let stage = Stage::new().await;
    let identity = Identity::new(WORKSPACE, AGENT);
    stage.onboard(&identity).await;
    for (field, value) in [
        ("ContainerType", json!("Other")),
        ("DataTypeId", json!("CUSTOM_LOG_BLOB.App")),
        ("Suffix", json!("App.log")),
        ("SkipScanningQueue", json!("true")),
        ("More", json!(1)),
    ] {
        let mut body = uri_body();
        body[field] = value;
        assert_eq!(ods(&stage, &identity, "GetBlobUploadUri", &body).await.head.status, 400, "{field}");
    }
    let (uri, etag) = upload(&stage, &identity, 1, "ä\r\n").await;
    let block = |id: &str| format!("&comp=block&blockid={id}");
    let decoded = uri.replace("%2B", "+");
    let cases = [
        (decoded.as_str(), block(&block_id(2)), 403, "AuthenticationFailed"),
        (uri.as_str(), format!("&timeout=9{}", block(&block_id(2))), 403, "AuthenticationFailed"),
        (uri.as_str(), block("no base64"), 400, "InvalidQueryParameterValue"),
        (uri.as_str(), block("YQ=="), 400, "differ in length"),
    ];
    for (uri, more, status, says) in cases {
        let answer = put(&stage, uri, &more.replace(' ', "%20"), b"x\r\n").await;
        assert_eq!((answer.head.status, stage.last_problem().contains(says)), (status, true), "{says}");
    }
    let lists = [
        list(&[], &[]),
        list(&[block_id(1)], &[block_id(9)]),
        list(&[block_id(2)], &[]),
        "<BlockList>".to_owned(),
    ];
    for list in lists {
        assert_eq!(put(&stage, &uri, "&comp=blocklist", list.as_bytes()).await.head.status, 400, "{list}");
    }
    let wrong = [
        notification(&uri, 0, 3, &etag),
        notification(&uri, 1, 4, &etag),
        notification(&uri, 0, 4, "0x1"),
        notification("https://other/x?y", 0, 4, &etag),
    ];
    for body in wrong {
        let answer = ods(&stage, &identity, "PostBlobUploadNotification", &body).await;
        assert_eq!(answer.head.status, 400, "{body}");
    }
    assert_eq!(stage.fake.count(WORKSPACE, "App_CL"), 0);
}

#[tokio::test]
async fn a_certificate_shown_to_the_storage_account_and_an_expired_uri_are_noticed() {
    let stage = Stage::new().await;
    let identity = Identity::new(WORKSPACE, AGENT);
    stage.onboard(&identity).await;
    let (uri, _) = upload(&stage, &identity, 1, "a\r\n").await;
    let (host, path) = uri.strip_prefix("https://").and_then(|rest| rest.split_once('/')).expect("a URI");
    let line = format!("PUT /{path}&comp=block&blockid={}", block_id(2));
    assert_eq!(stage.send(host, Some(&identity), &line, &META, b"x").await.head.status, 201);
    assert!(stage.last_problem().contains("no business"), "{}", stage.last_problem());
    assert_eq!(stage.send(host, None, &line, &META[..1], b"x").await.head.status, 201);
    assert!(stage.last_problem().contains("x-ms-meta-computername is None"), "{}", stage.last_problem());
    stage.fake.shift_clock(11);
    let answer = put(&stage, &uri, &format!("&comp=block&blockid={}", block_id(3)), b"x").await;
    assert_eq!((answer.head.status, stage.last_problem().contains("expired")), (403, true));
}
