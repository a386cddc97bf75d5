use std::sync::Mutex;

use common::cloud::Cloud;
use common::secret::Secret;

use super::*;
use crate::upload::testing::Reply;
use crate::upload::testing::Script;
use crate::upload::testing::Seen;
use crate::upload::testing::Stage;

const HOST: &str = "acct01.blob.core.windows.net";

/// A storage that answers what it is told.
async fn storage(reply: Reply) -> (Stage, RuleBlob) {
    let reply = Mutex::new(reply);
    let stage = Stage::new(&[HOST], move |_: &Seen| reply.lock().unwrap().clone()).await;
    let address = Secret::new(format!("https://{HOST}/c/rule.json?sp=r&sig=hunter2"));
    let address = RuleBlobAddress::parse(&address, Cloud::Public).unwrap();
    let blob = RuleBlob::new(address, stage.gateways(), &stage.roots()).unwrap();
    (stage, blob)
}

#[tokio::test]
async fn a_blob_is_asked_for_through_the_gateway_by_the_version_that_is_known() {
    let (stage, mut blob) = storage(Reply::status(200, "ETag: \"0x1\"\r\n", "{}")).await;
    let expected = Fetched::Document { etag: Some("\"0x1\"".to_owned()), bytes: Bytes::from_static(b"{}") };
    assert_eq!(blob.fetch(None).await, Ok(expected.clone()));
    assert_eq!(blob.fetch(Some("\"0x1\"")).await, Ok(expected), "it is another one of the same version");
    let heads: Vec<String> = stage.origin.seen().into_iter().map(|seen| seen.head).collect();
    assert!(heads[0].starts_with("GET /c/rule.json?sp=r&sig=hunter2 HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(!heads[0].to_lowercase().contains("if-none-match"));
    assert!(heads[1].to_lowercase().contains("if-none-match: \"0x1\"\r\n"), "{}", heads[1]);
    assert!(stage.gateway.asked().iter().all(|head| head.starts_with(&format!("CONNECT {HOST}:443 "))));
}

#[tokio::test]
async fn a_version_that_is_known_has_no_body() {
    let (_stage, mut blob) = storage(Reply::status(304, "", "")).await;
    assert_eq!(blob.fetch(Some("\"0x1\"")).await, Ok(Fetched::Unchanged));
    let (_stage, mut blob) = storage(Reply::status(304, "", "")).await;
    assert!(blob.fetch(None).await.is_err(), "nobody asked for that");
}

#[tokio::test]
async fn a_refusal_says_what_to_change_and_shows_no_signature() {
    let body = "<Error><Code>AuthenticationFailed</Code><Message>sig=hunter2</Message></Error>";
    let fields = "x-ms-error-code: AuthenticationFailed\r\nRetry-After: 7\r\n";
    let (_stage, mut blob) = storage(Reply::status(403, fields, body)).await;
    let failure = blob.fetch(None).await.unwrap_err();
    assert!(failure.detail.contains("answers 403 (AuthenticationFailed)"), "{failure:?}");
    assert!(failure.detail.contains("blob_sas_url_file"), "{failure:?}");
    assert_eq!(failure.asked, Some(Duration::from_secs(7)));
    let (_stage, mut other) = storage(Reply::status(404, "x-ms-error-code: sig=hunter2\r\n", "")).await;
    let missing = other.fetch(None).await.unwrap_err();
    assert!(missing.detail.contains("there is no such blob"), "{missing:?}");
    let (stage, mut broken) = storage(Reply::ThenClose(b"hunter2".to_vec())).await;
    let broken_off = broken.fetch(None).await.unwrap_err();
    stage.gateway.does(Script::Answer("HTTP/1.1 403 Forbidden\r\n\r\n"));
    let denied = broken.fetch(None).await.unwrap_err();
    assert!(denied.detail.contains(HOST), "{denied:?}");
    for failure in [failure, missing, broken_off, denied] {
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_body_without_an_end_is_read_to_one_byte_more_than_the_largest_rule() {
    let (_stage, mut blob) = storage(Reply::status(200, "", &" ".repeat(LARGEST_RULE * 2))).await;
    let Ok(Fetched::Document { etag: None, bytes }) = blob.fetch(None).await else { panic!("no document") };
    assert_eq!(bytes.len(), LARGEST_RULE + 1);
    assert!(!crate::parse::dcr::read(&bytes).1.problems.is_empty());
}
