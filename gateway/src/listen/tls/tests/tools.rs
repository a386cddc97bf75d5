//! The same with the programs that operators have: `openssl` and `curl`.

use std::process::Stdio;

use tokio::process::Command;

use super::*;

#[tokio::test]
async fn a12_openssl_s_client_is_served_with_its_certificate_and_refused_once_it_is_revoked() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity =
        Identity::load(&folder.revoking(&authority, &authority.revocations(&[8]))).expect("is right");
    for version in ["-tls1_2", "-tls1_3"] {
        for (serial, expected) in [(7, Ok(vec!["CN=site".to_owned()])), (8, Err("certificate_revoked"))] {
            let shown = authority.client("site", serial);
            let (certificate, key) =
                (folder.write("site.crt", shown.pem()), folder.write("site.key", shown.key_pem()));
            let Some(served) = serve_one(&identity, |address| {
                let mut command = Command::new("openssl");
                command.args(["s_client", "-quiet", "-verify_return_error", "-alpn", "http/1.1", version]);
                command.args(["-verify_hostname", "gw.example", "-connect", address]);
                command.arg("-CAfile").arg(folder.path().join("ca.crt"));
                command.arg("-cert").arg(&certificate).arg("-key").arg(&key);
                command
            })
            .await
            else {
                return;
            };
            assert_eq!(served.names, expected, "{version}: {}", served.said);
            assert_eq!(served.output.contains("HTTP/1.1 200"), expected.is_ok(), "{}", served.said);
        }
    }
}

#[tokio::test]
async fn a12_curl_is_served_with_its_certificate_and_refused_without_one() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity =
        Identity::load(&folder.revoking(&authority, &authority.revocations(&[8]))).expect("is right");
    let cases = [
        (Some(7), Ok(vec!["CN=site".to_owned()])),
        (Some(8), Err("certificate_revoked")),
        (None, Err("no_certificate")),
    ];
    for (serial, expected) in cases {
        let Some(served) = serve_one(&identity, |address| {
            let mut command = Command::new("curl");
            command.args(["-q", "-sS", "--noproxy", "", "--max-time", "20", "http://origin.example/"]);
            command.args(["-x", &format!("https://{address}")]);
            command.arg("--proxy-cacert").arg(folder.path().join("ca.crt"));
            if let Some(serial) = serial {
                let shown = authority.client("site", serial);
                command.arg("--proxy-cert").arg(folder.write("site.crt", shown.pem()));
                command.arg("--proxy-key").arg(folder.write("site.key", shown.key_pem()));
            }
            command
        })
        .await
        else {
            return;
        };
        assert_eq!(served.names, expected, "{}", served.said);
        assert_eq!(served.output == "served", expected.is_ok(), "{}", served.said);
    }
}

#[tokio::test]
async fn openssl_s_client_with_tls_1_1_is_refused() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.settings()).expect("is right");
    let Some(served) = serve_one(&identity, |address| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0", "-connect", address]);
        command
    })
    .await
    else {
        return;
    };
    // Where the library was built without TLS 1.1 nothing is sent at all.
    assert!([Err("tls_version"), Err("broken_off")].contains(&served.names), "{}", served.said);
}

/// What became of one program's connection.
struct Served {
    names: Result<Vec<String>, &'static str>,
    /// What the program printed.
    output: String,
    /// What it said on standard error.
    said: String,
}

/// Runs a program against a listener of this identity, which answers one request; says
/// `skipped: …` and returns `None` where it is not installed.
async fn serve_one(identity: &Identity, command: impl FnOnce(&str) -> Command) -> Option<Served> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut command = command(&listener.local_addr().expect("an address").to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("skipped: {:?} cannot be run: {error}", command.as_std().get_program());
            return None;
        }
    };
    let serve = async {
        let (socket, _) = listener.accept().await.expect("a connection");
        let mut stream = identity.acceptor().accept(socket).await.map_err(|error| failure(&error))?;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nserved";
        stream.write_all(answer).await.expect("is carried");
        stream.shutdown().await.expect("is carried");
        let names = client_certificate(&stream).map(|certificate| certificate.names).unwrap_or_default();
        // Not closed before the program is done: what it still sends would reset the connection.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        Ok(names)
    };
    let (names, output) =
        timeout(PATIENCE, async { tokio::join!(serve, child.wait_with_output()) }).await.expect("in time");
    let output = output.expect("an output");
    Some(Served {
        names,
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
