use std::sync::Mutex;

use http::Method;
use http::Request;
use http::Uri;

use super::*;
use crate::transport::LARGEST_ANSWER;
use crate::upload::roots::TlsTrouble;
use crate::upload::testing::Authority;
use crate::upload::testing::FakeGateway;
use crate::upload::testing::FakeOrigin;
use crate::upload::testing::PATIENCE;
use crate::upload::testing::Reply;
use crate::upload::testing::Script;
use crate::upload::testing::Seen;
use crate::upload::testing::Stage;
use crate::upload::testing::gateways;
use crate::upload::testing::roots;
use crate::upload::testing::until;

const HOST: &str = "ws.ods.example";
type Expected = fn(&TlsTrouble) -> bool;

const SILENT: Duration = Duration::from_millis(150);

async fn set_up(answering: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Stage {
    Stage::new(&[HOST, "other.example"], answering).await
}

fn channels_of(stage: &Stage) -> Channels {
    Channels::new(stage.gateways(), stage.roots(), None)
}

fn post(host: &str, body: &str) -> Outgoing {
    let mut request = Request::new(Bytes::copy_from_slice(body.as_bytes()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/path?query=1");
    Outgoing {
        host: format!("{host}:443").parse().unwrap(),
        request,
        certificate: ClientCertificate::NotShown,
        largest_answer: LARGEST_ANSWER,
    }
}

#[tokio::test]
async fn requests_to_one_host_share_one_connection_that_goes_through_the_gateway() {
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let stage = set_up(move |seen| Reply::status(200, date, &String::from_utf8_lossy(&seen.body))).await;
    let mut channels = channels_of(&stage);
    for body in ["one", "", "three"] {
        let answer = channels.send(&post(HOST, body), PATIENCE).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, body.as_bytes()));
        assert_eq!(answer.date, httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").ok());
    }
    assert_eq!((stage.gateway.connections(), stage.origin.connections()), (1, 1));
    assert_eq!(stage.gateway.asked()[0], format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n"));
    let seen = &stage.origin.seen()[0];
    assert!(seen.head.starts_with("POST /path?query=1 HTTP/1.1\r\n"), "{}", seen.head);
    let head = seen.head.to_ascii_lowercase();
    assert!(head.contains("host: ws.ods.example\r\n") && head.contains("content-length: 3\r\n"), "{head}");
    assert_eq!(seen.certificate, None);
    channels.send(&post("other.example", ""), PATIENCE).await.unwrap();
    assert_eq!((stage.gateway.connections(), stage.origin.connections()), (2, 2));
    drop(channels);
    until("connections end with their owner", || stage.origin.ended() == 2).await;
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_once_and_quietly() {
    let answer = b"HTTP/1.1 204 x\r\n\r\n".to_vec();
    let stage = set_up(move |_| Reply::ThenClose(answer.clone())).await;
    let mut channels = channels_of(&stage);
    for turn in 1..=3 {
        let answer = channels.send(&post(HOST, "x"), PATIENCE).await.unwrap();
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        until("it is closed", || stage.origin.ended() == turn).await;
        assert_eq!((stage.origin.connections(), stage.origin.seen().len()), (turn, turn));
    }
}

#[tokio::test]
async fn a_request_whose_bytes_were_taken_is_never_sent_again() {
    let first = Mutex::new(true);
    let stage = set_up(move |_| match std::mem::take(&mut *first.lock().unwrap()) {
        true => Reply::status(200, "", ""),
        false => Reply::ThenClose(Vec::new()),
    })
    .await;
    let mut channels = channels_of(&stage);
    channels.send(&post(HOST, "first"), PATIENCE).await.unwrap();
    let error = channels.send(&post(HOST, "second"), PATIENCE).await.unwrap_err();
    assert!(matches!(error, SendError::Broken { request_sent: true, .. }) && error.request_sent(), "{error}");
    assert_eq!((stage.origin.connections(), stage.origin.seen().len()), (1, 2));
    // The next request has a connection of its own.
    let _ = channels.send(&post(HOST, "third"), PATIENCE).await;
    assert_eq!(stage.origin.connections(), 2);
}

#[tokio::test]
async fn a_silent_origin_is_given_up_at_the_deadline_and_its_connection_with_it() {
    let stage = set_up(|_| Reply::Silence).await;
    let mut channels = channels_of(&stage);
    let error = channels.send(&post(HOST, "x"), SILENT).await.unwrap_err();
    assert!(matches!(error, SendError::Timeout { phase: SendPhase::Answer, .. }), "{error}");
    let cut = b"HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\nhalf".to_vec();
    let stage = set_up(move |_| Reply::Bytes(cut.clone())).await;
    let error = channels_of(&stage).send(&post(HOST, "x"), SILENT).await.unwrap_err();
    assert!(matches!(error, SendError::Timeout { phase: SendPhase::Body, .. }), "{error}");
    assert!(error.request_sent());
}

#[tokio::test]
async fn an_endless_answer_is_cut_and_its_connection_is_not_used_again() {
    let stage = set_up(|_| Reply::status(200, "", &"x".repeat(LARGEST_ANSWER + 1))).await;
    let mut channels = channels_of(&stage);
    for turn in 1..=2 {
        let answer = channels.send(&post(HOST, "x"), PATIENCE).await.unwrap();
        assert_eq!((answer.body.len(), stage.origin.connections()), (LARGEST_ANSWER, turn));
    }
}

#[tokio::test]
async fn an_origin_that_is_not_azure_is_told_apart_and_gets_no_request() {
    let stage = set_up(|_| Reply::status(200, "", "")).await;
    let inspector = Authority::new("Corp Inspection");
    let cases: [(_, Expected, &str); 3] = [
        (
            inspector.acceptor(&[HOST]),
            |trouble| matches!(trouble, TlsTrouble::UnknownIssuer { issuer } if issuer == "CN=Corp Inspection"),
            "inspection",
        ),
        (
            stage.authority.acceptor(&["else.example"]),
            |trouble| matches!(trouble, TlsTrouble::WrongName { names } if names.contains("else.example")),
            "name servers",
        ),
        (
            stage
                .authority
                .acceptor_with(&[HOST], false, |params| params.not_after = rcgen::date_time_ymd(2020, 1, 2)),
            |trouble| matches!(trouble, TlsTrouble::Expired { until, .. } if until.starts_with("2020-01-02")),
            "clock",
        ),
    ];
    for (acceptor, expected, change) in cases {
        let origin = FakeOrigin::start(acceptor, |_| Reply::status(200, "", "")).await;
        stage.gateway.does(Script::Lead(origin.address));
        let error = channels_of(&stage).send(&post(HOST, "x"), PATIENCE).await.unwrap_err();
        let SendError::OriginTls { trouble, .. } = &error else { panic!("{error}") };
        assert!(expected(trouble) && !error.request_sent(), "{trouble:?}");
        assert!(error.what_to_change().contains(change), "{}", error.what_to_change());
        assert_eq!(origin.seen().len(), 0);
    }
    stage.gateway.does(Script::Answer("HTTP/1.1 403 x\r\n\r\n"));
    let error = channels_of(&stage).send(&post(HOST, "x"), PATIENCE).await.unwrap_err();
    assert!(matches!(error, SendError::Gateway(_)) && !error.request_sent(), "{error}");
}

#[tokio::test]
async fn a_refused_client_certificate_is_told_apart_although_the_handshake_was_over() {
    let stage = set_up(|_| Reply::status(200, "", "")).await;
    let origin = FakeOrigin::start(stage.authority.acceptor_with(&[HOST], true, |_| {}), |_| Reply::Silence);
    let origin = origin.await;
    stage.gateway.does(Script::Lead(origin.address));
    let error = channels_of(&stage).send(&post(HOST, "x"), PATIENCE).await.unwrap_err();
    let expected = TlsTrouble::Alert("CertificateRequired".to_owned());
    assert!(matches!(&error, SendError::OriginTls { trouble, .. } if *trouble == expected), "{error}");
    assert!(error.what_to_change().contains("onboard"), "{}", error.what_to_change());
}

#[tokio::test]
async fn only_so_many_connections_are_kept() {
    let names: Vec<String> = (0..MOST_CHANNELS + 2).map(|at| format!("blob{at}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let authority = Authority::new("Azure");
    let origin = FakeOrigin::start(authority.acceptor(&names), |_| Reply::status(201, "", "")).await;
    let gateway = FakeGateway::start(Script::Lead(origin.address)).await;
    let mut channels = Channels::new(gateways(&[gateway.value()]), roots(&authority), None);
    for name in &names {
        channels.send(&post(name, ""), PATIENCE).await.unwrap();
    }
    until("the oldest are closed", || origin.ended() == 2).await;
    channels.send(&post(names[2], ""), PATIENCE).await.unwrap();
    assert_eq!(origin.connections(), names.len());
}

#[tokio::test]
async fn a_connection_that_idles_is_closed_without_being_asked() {
    let stage = set_up(|_| Reply::status(200, "", "")).await;
    let mut channels = channels_of(&stage);
    channels.send(&post(HOST, ""), PATIENCE).await.unwrap();
    pass(IDLE / 2).await;
    channels.send(&post(HOST, ""), PATIENCE).await.unwrap();
    assert_eq!((stage.origin.connections(), stage.origin.ended()), (1, 0));
    pass(IDLE + Duration::from_millis(1)).await;
    until("it is closed", || stage.origin.ended() == 1).await;
    channels.send(&post(HOST, ""), PATIENCE).await.unwrap();
    assert_eq!(stage.origin.connections(), 2);
}

/// Lets time pass, but not while anybody waits for a socket.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
