use std::sync::Arc;
use std::sync::Mutex;

use super::*;
use crate::upload::testing::Reply;
use crate::upload::testing::Script;
use crate::upload::testing::Stage;

const HOST: &str = "login.microsoftonline.com";

fn settings(credential: CredentialSettings) -> LogsIngestionSettings {
    LogsIngestionSettings {
        endpoint: "dce.ingest.monitor.azure.com:443".parse().unwrap(),
        rule: "dcr-0".to_owned(),
        streams: Default::default(),
        tenant: "contoso".to_owned(),
        client: "app".to_owned(),
        credential,
        token_host: format!("{HOST}:443").parse().unwrap(),
        scope: "https://monitor.azure.com/.default".to_owned(),
    }
}

struct Entra {
    stage: Stage,
    reply: Arc<Mutex<Option<Reply>>>,
}

impl Entra {
    /// A token service that numbers its tokens, or answers what it is told.
    async fn new() -> Self {
        let reply = Arc::<Mutex<Option<Reply>>>::default();
        let (told, count) = (reply.clone(), Mutex::new(0));
        let stage = Stage::new(&[HOST], move |_| {
            let mut count = count.lock().unwrap();
            *count += 1;
            let token =
                format!("{{\"token_type\":\"Bearer\",\"expires_in\":3599,\"access_token\":\"t{count}\"}}");
            told.lock().unwrap().clone().unwrap_or_else(|| Reply::status(200, "", &token))
        });
        Self { stage: stage.await, reply }
    }

    fn token(&self) -> Token {
        let credential = CredentialSettings::Secret(Secret::new("s&cret".to_owned()));
        Token::new(&settings(credential), self.stage.gateways(), &self.stage.roots()).unwrap()
    }

    fn says(&self, reply: Option<Reply>) {
        *self.reply.lock().unwrap() = reply;
    }
}

async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

async fn text(token: &mut Token) -> String {
    token.token().await.unwrap().expose().to_owned()
}

#[tokio::test]
async fn a_token_is_kept_until_five_minutes_before_its_end() {
    let entra = Entra::new().await;
    let mut token = entra.token();
    assert_eq!((text(&mut token).await, text(&mut token).await), ("t1".to_owned(), "t1".to_owned()));
    let seen = entra.stage.origin.seen();
    assert!(seen[0].head.starts_with("POST /contoso/oauth2/v2.0/token HTTP/1.1\r\n"), "{}", seen[0].head);
    assert_eq!((seen.len(), &seen[0].certificate), (1, &None));
    pass(Duration::from_secs(3599 - 310)).await;
    assert_eq!(text(&mut token).await, "t1");
    pass(Duration::from_secs(20)).await;
    assert_eq!(text(&mut token).await, "t2");
    assert_eq!(entra.stage.gateway.asked().len(), 2);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let entra = Entra::new().await;
    let mut token = entra.token();
    let first = token.token().await.unwrap();
    assert_eq!(token.refused(&first), AfterRefusal::FetchAnother);
    let second = token.token().await.unwrap();
    assert_eq!(second.expose(), "t2");
    assert_eq!(token.refused(&first), AfterRefusal::FetchAnother, "the old one is not in use any more");
    assert_eq!(token.refused(&second), AfterRefusal::Give, "two in a row: another will not be better");
    assert_eq!(entra.stage.origin.seen().len(), 2);
}

#[tokio::test]
async fn a_failure_waits_longer_each_time_and_asks_nobody_meanwhile() {
    let entra = Entra::new().await;
    let mut token = entra.token();
    entra.says(Some(Reply::status(
        401,
        "",
        r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret"}"#,
    )));
    let mut waits = Vec::new();
    for turn in 1..=3 {
        let failure = token.token().await.unwrap_err();
        assert!(
            failure.to_string().contains("AADSTS7000215") && !failure.to_string().contains("s&cret"),
            "{failure}"
        );
        assert!(
            failure.reason.what_to_change().contains("not its ID"),
            "{}",
            failure.reason.what_to_change()
        );
        assert_eq!(token.token().await.unwrap_err().reason, failure.reason);
        assert_eq!(entra.stage.origin.seen().len(), turn);
        waits.push(failure.wait);
        pass(failure.wait).await;
    }
    assert!(waits[1] >= waits[0] && waits[2] >= waits[1] && waits[0] > Duration::ZERO, "{waits:?}");
    entra.says(Some(Reply::status(429, "Retry-After: 77\r\n", "")));
    let failure = token.token().await.unwrap_err();
    assert_eq!(failure.wait, Duration::from_secs(77));
    pass(failure.wait).await;
    entra.says(Some(Reply::status(200, "", "{}")));
    assert_eq!(token.token().await.unwrap_err().reason, TokenReason::Garbage);
    pass(WAITS.1).await;
    entra.stage.gateway.does(Script::Answer("HTTP/1.1 403 x\r\n\r\n"));
    let failure = token.token().await.unwrap_err();
    assert!(failure.reason.what_to_change().contains("allow login.microsoftonline.com"), "{failure}");
    pass(WAITS.1).await;
    entra.stage.gateway.does(Script::Lead(entra.stage.origin.address));
    entra.says(None);
    text(&mut token).await;
    assert_eq!(token.failures, 0);
}

#[tokio::test]
async fn a_certificate_signs_and_its_files_are_named_when_they_are_wrong() {
    let entra = Entra::new().await;
    let folder = tempfile::tempdir().unwrap();
    let pair = crate::upload::identity::make_pair("app", Uuid::nil()).await.unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (certificate, key) = (write("app.crt", &pair.certificate), write("app.key", pair.key.expose()));
    let make = |certificate: &Path, key: &Path| {
        let credential = CredentialSettings::Certificate { certificate: certificate.into(), key: key.into() };
        Token::new(&settings(credential), entra.stage.gateways(), &entra.stage.roots())
    };
    assert_eq!(text(&mut make(&certificate, &key).unwrap()).await, "t1");
    let body = String::from_utf8(entra.stage.origin.seen()[0].body.clone()).unwrap();
    assert!(body.contains("client_assertion=ey"), "{body}");
    let (empty, missing) = (write("empty", ""), folder.path().join("missing"));
    for (certificate, key, wrong) in [
        (&empty, &key, &empty),
        (&certificate, &empty, &empty),
        (&missing, &key, &missing),
        (&certificate, &missing, &missing),
    ] {
        let error = make(certificate, key).err().unwrap().to_string();
        assert!(error.contains(wrong.to_str().unwrap()), "{error}");
    }
}
