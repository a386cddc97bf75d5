use super::*;
use crate::record::Timestamp;
use crate::transport::certificate;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ring::signature::RSA_PKCS1_2048_8192_SHA256;
use ring::signature::UnparsedPublicKey;
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use rsa::pkcs8::LineEnding;
use rsa::rand_core::OsRng;
use serde_json::Value as Json;
use std::time::Duration;
use x509_cert::der::Encode;

const NOW: Timestamp = Timestamp(1_767_600_000_000_000);

fn host(text: &str) -> HostPort {
    text.parse().unwrap()
}

fn application(token_host: &HostPort) -> Application<'_> {
    Application {
        token_host,
        tenant: "contoso.com",
        client: "app&1",
        scope: "https://monitor.azure.com/.default",
    }
}

#[test]
fn a_parcel_goes_to_a_stream_of_a_rule() {
    let body = Bytes::from_static(b"zipped");
    let parcel = Parcel { body, encoding: Some("gzip"), ..Parcel::default() };
    let token = Secret::new("ey.J0".to_owned());
    let outgoing =
        post(&host("d.example:443"), "dcr-0", "Custom-App_CL/..", &token, &parcel, Uuid::from_u128(1));
    let headers = outgoing.request.headers();
    assert_eq!(
        outgoing.request.uri(),
        "/dataCollectionRules/dcr-0/streams/Custom-App_CL%2F..?api-version=2023-01-01"
    );
    assert_eq!(headers["authorization"], "Bearer ey.J0");
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["x-ms-client-request-id"], Uuid::from_u128(1).to_string());
    assert_eq!(outgoing.request.body(), "zipped");
    assert!(!format!("{outgoing:?} {headers:?}").contains("ey.J0"));
}

#[test]
fn a_secret_is_sent_to_the_token_host_and_shown_nowhere() {
    let host = host("login.microsoftonline.com:443");
    let outgoing = token_by_secret(&application(&host), &Secret::new("p+ &=~\u{e9}".to_owned()), Uuid::nil());
    assert_eq!(outgoing.request.uri(), "/contoso.com/oauth2/v2.0/token");
    assert_eq!(
        outgoing.request.body(),
        "client_id=app%261&scope=https%3A%2F%2Fmonitor.azure.com%2F.default&grant_type=client_credentials\
         &client_secret=p%2B%20%26%3D~%C3%A9"
    );
    assert_eq!(outgoing.request.headers()["content-type"], "application/x-www-form-urlencoded");
    assert!(!format!("{outgoing:?}").contains("client_secret"));
}

#[test]
fn a_certificate_proves_itself_by_a_signed_assertion() {
    let made = certificate::create("w", Uuid::nil(), NOW, &mut OsRng).unwrap();
    let key = RsaPrivateKey::from_pkcs1_pem(made.key.expose()).unwrap();
    let pkcs8 = Secret::new(key.to_pkcs8_pem(LineEnding::CRLF).unwrap().to_string());
    let certificate = certificate::tests::parsed(&made.certificate);
    let public =
        certificate.tbs_certificate().subject_public_key_info().subject_public_key.as_bytes().unwrap();
    let host = host("login.microsoftonline.com:443");
    for key in [&made.key, &pkcs8] {
        let credential = CertificateCredential::parse(&made.certificate, key).unwrap();
        let (id, request) = (Uuid::from_u128(3), Uuid::from_u128(4));
        let outgoing = token_by_certificate(&application(&host), &credential, NOW, id, request).unwrap();
        let form = str::from_utf8(outgoing.request.body()).unwrap();
        let (before, assertion) = form.split_once("&client_assertion=").unwrap();
        assert!(
            before.ends_with("=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"),
            "{before}"
        );
        let (message, signature) = assertion.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
            .verify(message.as_bytes(), &signature)
            .unwrap();
        let [header, claims] = message.split('.').map(json_of).collect::<Vec<_>>().try_into().unwrap();
        let hash = |algorithm| {
            let der = certificate.to_der().unwrap();
            URL_SAFE_NO_PAD.encode(ring::digest::digest(algorithm, &der))
        };
        assert_eq!(header["alg"], "RS256");
        assert_eq!(header["x5t"], hash(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY));
        assert_eq!(header["x5t#S256"], hash(&ring::digest::SHA256));
        assert_eq!(claims["aud"], "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token");
        assert_eq!((&claims["iss"], &claims["sub"]), (&Json::from("app&1"), &Json::from("app&1")));
        assert_eq!(claims["jti"], id.to_string());
        assert_eq!(
            (claims["nbf"].as_i64(), claims["exp"].as_i64()),
            (Some(1_767_600_000), Some(1_767_600_600))
        );
    }
}

fn json_of(part: &str) -> Json {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_credential_that_cannot_be_used_says_which_file_is_wrong() {
    let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let certificate = block("CERTIFICATE");
    let cases = [
        ("", block("PRIVATE KEY"), CredentialError::Certificate),
        ("-----BEGIN CERTIFICATE-----\nAA", String::new(), CredentialError::Certificate),
        (certificate.as_str(), String::new(), CredentialError::Key),
        (certificate.as_str(), block("PRIVATE KEY"), CredentialError::Key),
        (certificate.as_str(), block("ENCRYPTED PRIVATE KEY"), CredentialError::Key),
        (certificate.as_str(), block("EC PRIVATE KEY"), CredentialError::Key),
    ];
    for (certificate, key, error) in cases {
        assert_eq!(CertificateCredential::parse(certificate, &Secret::new(key)).err(), Some(error));
    }
}

#[test]
fn a_token_is_read_only_from_an_answer_that_holds_one() {
    let parse = |text: &str| TokenReply::parse(text.as_bytes());
    let reply = |kind: &str, seconds: &str, token: &str| {
        format!(
            r#"{{"token_type":"{kind}","expires_in":{seconds},"ext_expires_in":1,"access_token":"{token}"}}"#
        )
    };
    for (seconds, held) in [("3599", 3599), ("\"3599\"", 3599), ("1", 60), ("18446744073709551615", 86_400)] {
        let token = parse(&reply("Bearer", seconds, "ey.J")).unwrap();
        assert_eq!((token.token.expose(), token.expires_in), ("ey.J", Duration::from_secs(held)));
    }
    let long = "x".repeat(16 * 1024 + 1);
    for wrong in [
        reply("Bearer", "-1", "a"),
        reply("Bearer", "\"soon\"", "a"),
        reply("pop", "3599", "a"),
        reply("Bearer", "3599", ""),
        reply("Bearer", "3599", "a\\r\\nHost: b"),
        reply("Bearer", "3599", &long),
        "{}".to_owned(),
        format!("{}{}", reply("Bearer", "3599", "a"), " ".repeat(64 * 1024)),
    ] {
        assert_eq!(parse(&wrong), Err(TokenError), "{}", wrong.get(..80).unwrap_or(&wrong));
    }
}
