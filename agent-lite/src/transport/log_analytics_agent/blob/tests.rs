use super::*;
use crate::transport::rows::tests::agent;
use serde_json::Value as Json;
use serde_json::json;

const ID: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";
const ONE: Uuid = Uuid::from_u128(1);

fn workspace() -> WorkspaceEndpoints {
    WorkspaceEndpoints::new(ID, "opinsights.azure.com").unwrap()
}

fn place(uri: &str, blocks: Json) -> Result<BlobPlace, BlobError> {
    let body = json!({"Uri": uri, "CommittedBlockList": blocks, "Size": 40}).to_string();
    BlobPlace::parse(body.as_bytes(), &workspace())
}

fn body(outgoing: &Outgoing) -> Json {
    serde_json::from_slice(outgoing.request.body()).unwrap()
}

#[test]
fn the_four_calls_put_a_files_lines_where_the_service_says() {
    let table: Table = "App_CL".parse().unwrap();
    let log = Log { table: &table, file_path: "/var/log/app.log" };
    let asked = blob_uri(&workspace(), &agent(), &log, Timestamp(1_767_600_000_000_000), ONE, 2);
    assert_eq!(asked.request.uri(), "/ContainerService.svc/GetBlobUploadUri");
    assert_eq!((asked.certificate, &asked.host), (ClientCertificate::Shown, workspace().ods()));
    assert_eq!(asked.request.headers()["x-ms-client-request-retry-count"], "2");
    let full = json!({"CommittedBlockList": vec![block_name(ONE); MOST_BLOCKS]}).to_string();
    assert!(full.len() < asked.largest_answer, "{}", full.len());
    let file = hex_hash(b"/var/log/app.log");
    let suffix = format!(
        "App_CL_{ID}/00000000-0000-0000-0000-000000000002/vm \"1\"/{}/d=20260105/{file}.log",
        agent().agent_id
    );
    assert_eq!(
        body(&asked),
        json!({"ContainerType": "CustomLog", "DataTypeId": format!("CUSTOM_LOG_BLOB.App_CL_{ID}"),
               "ExpiryDuration": "00:10:00", "Suffix": suffix, "SkipScanningQueue": true,
               "SupportWriteOnlyBlob": true})
    );

    let place =
        place("https://acct.blob.core.windows.net/c/a%20b.log?sv=1&sig=x%2By", json!(["b2xk\n"])).unwrap();
    let put = put_block(&place, &agent(), ONE, Bytes::from_static(b"line\r\n"), ONE);
    let name = "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAx";
    let uri = format!("/c/a%20b.log?sv=1&sig=x%2By&comp=block&blockid={name}");
    assert_eq!((put.request.method().as_str(), put.request.uri().to_string()), ("PUT", uri));
    assert_eq!(put.host.to_string(), "acct.blob.core.windows.net:443");
    assert_eq!((put.certificate, &put.request.body()[..]), (ClientCertificate::NotShown, &b"line\r\n"[..]));
    assert!(!format!("{put:?} {place:?}").contains("x%2By"), "{put:?}");

    let list = put_block_list(&place, &agent(), &log, ONE, ONE);
    assert_eq!(list.request.uri(), "/c/a%20b.log?sv=1&sig=x%2By&comp=blocklist");
    assert_eq!(list.request.headers()["x-ms-meta-filepath"], "/var/log/app.log");
    let text = format!("<BlockList><Committed>b2xk</Committed><Uncommitted>{name}</Uncommitted></BlockList>");
    assert_eq!(list.request.body(), text.as_bytes());

    let done = blob_done(&workspace(), &agent(), &log, &place, 6, "0x8D", ONE);
    assert_eq!(
        body(&done),
        json!({"metadata-TimeZoneId": "UTC", "DataType": "BLOB_UPLOAD_NOTIFICATION", "IPName": "",
               "DataItems": [{"BlobUrl": "https://acct.blob.core.windows.net/c/a%20b.log",
                              "OriginalDataTypeId": format!("CUSTOM_LOG_BLOB.App_CL_{ID}"),
                              "StartOffset": 40, "FileSize": 46, "Etag": "0x8D"}]})
    );
}

#[test]
fn a_place_that_is_none_is_refused_and_never_quoted() {
    let secret = "sig=secret";
    for (uri, blocks, error) in [
        (format!("http://a.example/c?{secret}"), json!(null), BlobError::Uri),
        ("https://a.example/c".to_owned(), json!(null), BlobError::Uri),
        (format!("https://u:p@a.example/c?{secret}"), json!(null), BlobError::Uri),
        (format!("https://10.0.0.1/c?{secret}"), json!(null), BlobError::Uri),
        (format!("/c?{secret}"), json!(null), BlobError::Uri),
        (format!("https://a.example/c\n?{secret}"), json!(null), BlobError::Uri),
        (format!("https://a.example/c?{secret}"), json!(["</Committed>"]), BlobError::Form),
        (format!("https://a.example/c?{secret}"), json!("x"), BlobError::Form),
        (format!("https://a.example/c?{secret}"), json!(vec!["YQ=="; 50_000]), BlobError::Full),
    ] {
        let found = place(&uri, blocks).unwrap_err();
        assert_eq!(found, error, "{uri}");
        assert!(!found.to_string().contains("secret"));
    }
    assert_eq!(BlobPlace::parse(b"", &workspace()).unwrap_err(), BlobError::Form);
}

#[test]
fn a_version_is_read_without_its_quotation_marks() {
    let mut headers = HeaderMap::new();
    assert_eq!(etag(&headers), None);
    headers.insert(ETAG, "\"0x8D\"".parse().unwrap());
    assert_eq!(etag(&headers).as_deref(), Some("0x8D"));
}

#[test]
fn the_service_cannot_send_the_agent_to_any_host() {
    let (public, government, other) = ("opinsights.azure.com", "opinsights.azure.us", "opinsights.example");
    let cases = [
        (public, "a1.blob.core.windows.net", true),
        (public, "A1.Blob.Core.Windows.Net:443", true),
        (public, "a1.blob.core.windows.net:8443", false),
        (public, "a1.blob.core.usgovcloudapi.net", false),
        (public, "a1.blob.core.windows.net.evil.example", false),
        (public, "a.b.blob.core.windows.net", false),
        (public, "blob.core.windows.net", false),
        (public, "a1.table.core.windows.net", false),
        (public, "plc-7.plant.example", false),
        (government, "a1.blob.core.usgovcloudapi.net", true),
        (government, "a1.blob.core.windows.net", false),
        (other, "a1.blob.core.example", true),
        (other, "a1.example", false),
    ];
    for (domain, host, allowed) in cases {
        let workspace = WorkspaceEndpoints::new(ID, domain).unwrap();
        let body = json!({"Uri": format!("https://{host}/c?sig=secret")}).to_string();
        let found = BlobPlace::parse(body.as_bytes(), &workspace).map(|_| ());
        assert_eq!(found, if allowed { Ok(()) } else { Err(BlobError::Host) }, "{domain}: {host}");
    }
}
