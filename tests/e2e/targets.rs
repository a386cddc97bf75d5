//! Rows H01 to H32: request lines and host names as raw bytes. Nobody needs a password to send these.

use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::hello::client_hello;
use end_to_end::pki::Pki;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;
use crate::table;
use crate::table::Row;
use crate::table::SILENCE;

async fn run(rows: &[Row]) {
    let stage = Stage::good(Config::new(ANYONE)).await;
    table::run(&stage, &[], rows).await;
}

fn targets(id: &'static str, statuses: &'static [u16], targets: &[&str]) -> Vec<Row> {
    targets.iter().map(|target| Row::target(id, target, statuses)).collect()
}

/// Rows whose `GOOD` stands for the good host.
fn around_good(id: &'static str, statuses: &'static [u16], patterns: &[&str]) -> Vec<Row> {
    patterns.iter().map(|pattern| Row::target(id, &pattern.replace("GOOD", GOOD), statuses)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h01_h02_a_good_host_passes_in_any_case_and_is_recorded_in_lower_case() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    for target in [GOOD_TARGET.to_owned(), format!("{}:443", GOOD.to_uppercase())] {
        let mut client = RawClient::connect(stage.gateway.proxy()).await;
        client.send_slowly(&connect_request(&target, &[])).await;
        let tunnel = client.tunnel().await;
        let address = tunnel.address;
        drop(tunnel);
        stage.gateway.record_of(address).await.assert_texts(&[("host", GOOD), ("verdict", "carried")]);
    }
    stage.azure.wait_for_connections(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h03_to_h05_dots_and_brackets_around_a_good_name_are_malformed() {
    let rows = [
        around_good("h03", &[400], &["GOOD.:443"]),
        around_good("h04", &[400], &["GOOD..:443", "..GOOD:443", "a..ods.opinsights.azure.com:443"]),
        around_good("h05", &[400], &["[GOOD]:443", "[[GOOD]]:443", "[127.0.0.1]:443"]),
    ];
    run(&rows.into_iter().flatten().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h06_to_h09_look_alikes_of_an_allowed_name_are_denied() {
    let rows = [
        targets("h06", &[403], &["evilods.opinsights.azure.com:443", "xods.opinsights.azure.com:443"]),
        targets("h07", &[403], &["ods.opinsights.azure.com:443", "blob.core.windows.net:443"]),
        around_good("h08", &[403], &["GOOD.evil.example:443", "ods.opinsights.azure.com.evil.example:443"]),
        targets("h09", &[403], &["a.b.ods.opinsights.azure.com:443", "a.b.blob.core.windows.net:443"]),
    ];
    run(&rows.into_iter().flatten().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h10_to_h12_user_info_separators_and_percent_signs_are_malformed() {
    let user_info =
        ["user@GOOD:443", "user:pw@GOOD:443", "GOOD:443@evil.example:443", "evil.example@GOOD:443"];
    let separators = [
        "GOOD,evil.example:443",
        "GOOD;x:443",
        "GOOD\\evil:443",
        "GOOD/evil:443",
        "GOOD?x:443",
        "GOOD#x:443",
    ];
    let percent = [
        "GOOD%2eevil.example:443",
        "%31234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com:443",
        "GOOD%00:443",
        "evil.example%00.ods.opinsights.azure.com:443",
    ];
    let rows = [
        around_good("h10", &[400], &user_info),
        around_good("h11", &[400], &separators),
        around_good("h12", &[400], &percent),
    ];
    run(&rows.into_iter().flatten().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h13_h14_control_bytes_and_line_ends_in_the_target_are_malformed() {
    let mut rows: Vec<Row> = ["\0", "\t", "\x0b", "\x7f", "\r"]
        .into_iter()
        .map(|byte| Row::target("h13", &format!("evil.example{byte}.ods.opinsights.azure.com:443"), &[400]))
        .collect();
    let lines = [
        "CONNECT evil.example:443\nX: y HTTP/1.1\r\nHost: evil.example:443\r\n\r\n".to_owned(),
        format!("CONNECT {GOOD}\nX: y:443 HTTP/1.1\r\nHost: {GOOD}\r\n\r\n"),
        format!("CONNECT {GOOD_TARGET} HTTP/1.1\r\nHost: {GOOD_TARGET}\r\n evil.example\r\n\r\n"),
        format!("CONNECT {GOOD}\r\n :443 HTTP/1.1\r\nHost: {GOOD_TARGET}\r\n\r\n"),
    ];
    rows.extend(lines.into_iter().map(|text| Row::raw("h14", text, &[400])));
    run(&rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h15_h16_names_beyond_ascii_and_punycode_are_never_mapped() {
    let odd = ["\u{ff0e}", "\u{3002}", "\u{200b}", "\u{feff}", "\u{212a}", "\u{ad}", "\u{430}"];
    let mut rows: Vec<Row> = odd
        .into_iter()
        .flat_map(|c| {
            [format!("a{c}ods.opinsights.azure.com:443"), format!("account.blob.core.windows{c}.net:443")]
        })
        .map(|target| Row::target("h15", &target, &[400]))
        .collect();
    let labels = ["xn--pple-43d", "xn--", "xn--zzzzzzzzzzzz-99999", "XN--account"];
    rows.extend(
        labels
            .into_iter()
            .map(|label| Row::target("h16", &format!("{label}.blob.core.windows.net:443"), &[400, 403])),
    );
    run(&rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h17_to_h19_names_that_are_too_long_or_have_bad_labels_are_malformed() {
    let long_label = format!("{}.blob.core.windows.net:443", "a".repeat(64));
    let long_name = format!("{}blob.core.windows.net:443", "a.".repeat(117));
    let many_labels = format!("{}net:443", "a.".repeat(128));
    let mut rows = targets("h17", &[400], &[&long_label, &long_name, &many_labels]);
    rows.push(Row::target("h17", &format!("{}.net:443", "a".repeat(64 * 1024)), &[400, 414, 431]));
    let labels = ["-a", "a-", "a_b", "*", ""];
    rows.extend(
        labels.map(|label| Row::target("h18", &format!("{label}.blob.core.windows.net:443"), &[400])),
    );
    rows.extend(targets("h19", &[400], &[":443", "*:443", "*.ods.opinsights.azure.com:443", ".:443"]));
    run(&rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h20_to_h22_addresses_in_every_spelling_are_refused() {
    let plain = ["20.1.2.3:443", "127.0.0.1:443", "169.254.169.254:443", "168.63.129.16:443", "[::1]:443"];
    let spellings = [
        "2130706433:443",
        "0x7f.1:443",
        "0177.0.0.1:443",
        "127.1:443",
        "0:443",
        "127.0.0.1.:443",
        "0x7f000001:443",
    ];
    let brackets = [
        "[::ffff:127.0.0.1]:443",
        "[::ffff:7f00:1]:443",
        "[::127.0.0.1]:443",
        "[fe80::1%25eth0]:443",
        "[::1%25.ods.opinsights.azure.com]:443",
        "[::1%.ods.opinsights.azure.com]:443",
        "::1:443",
    ];
    let rows = [
        targets("h20", &[403], &plain),
        targets("h21", &[400, 403], &spellings),
        targets("h22", &[400, 403], &brackets),
    ];
    run(&rows.into_iter().flatten().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h23_to_h26_only_port_443_in_its_one_spelling_is_carried() {
    let numbers = [
        "GOOD:65979",
        "GOOD:4294967739",
        "GOOD:-443",
        "GOOD:+443",
        "GOOD:443x",
        "GOOD:0x1bb",
        "GOOD:\u{ff14}\u{ff14}\u{ff13}",
    ];
    let rows = [
        around_good("h23", &[400], &["GOOD", "GOOD:", "GOOD:0"]),
        around_good("h23", &[403], &["GOOD:80", "GOOD:22"]),
        around_good("h24", &[400], &numbers),
        around_good("h24", &[400, 505], &["GOOD:4 43"]),
        around_good("h25", &[400], &["GOOD:0443", "GOOD:00000000443"]),
        around_good("h26", &[400], &["GOOD:443:443", "GOOD::443"]),
    ];
    run(&rows.into_iter().flatten().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h27_h28_other_forms_and_other_methods_are_refused() {
    let host = format!("Host: {GOOD_TARGET}\r\n\r\n");
    let request = |id, line: &str, status| Row::raw(id, format!("{line} HTTP/1.1\r\n{host}"), status);
    let mut rows = vec![
        request("h27", &format!("CONNECT https://{GOOD}/"), &[400]),
        request("h27", &format!("CONNECT https://{GOOD_TARGET}"), &[400]),
        request("h27", "CONNECT /", &[400]),
        request("h27", "CONNECT *", &[400]),
    ];
    let lines = [
        format!("GET http://{GOOD}/"),
        "GET /".to_owned(),
        "GET /metrics".to_owned(),
        "GET /healthz".to_owned(),
        "OPTIONS *".to_owned(),
        format!("POST https://{GOOD}/"),
        "TRACE /".to_owned(),
        "BREW /".to_owned(),
        format!("GET {GOOD_TARGET}"),
        format!("connect {GOOD_TARGET}"),
        format!("Connect {GOOD_TARGET}"),
    ];
    rows.extend(lines.iter().map(|line| request("h28", line, &[405])));
    run(&rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h29_the_host_field_must_agree_with_the_target() {
    let request = |version: &str, lines: &str, status| {
        Row::raw("h29", format!("CONNECT {GOOD_TARGET} HTTP/{version}\r\n{lines}\r\n"), status)
    };
    let good = format!("Host: {GOOD_TARGET}\r\n");
    let rows = [
        request("1.1", &good, &[200]),
        request("1.1", &format!("Host: {GOOD}\r\n"), &[200]),
        request("1.1", &format!("Host: {}:443\r\n", GOOD.to_uppercase()), &[200]),
        request("1.0", "", &[200]),
        request("1.0", &good, &[200]),
        request("1.1", "", &[400]),
        request("1.1", "Host: evil.example:443\r\n", &[400]),
        request("1.1", &format!("Host: {GOOD}:80\r\n"), &[400]),
        request("1.1", "Host:\r\n", &[400]),
        request("1.1", &format!("{good}{good}"), &[400]),
        request("1.1", &format!("{good}Host: evil.example\r\n"), &[400]),
        request("1.0", &format!("{good}{good}"), &[400]),
        request("1.0", "Host: evil.example:443\r\n", &[400]),
    ];
    run(&rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h30_h32_odd_versions_and_line_ends_are_refused_or_judged_as_usual() {
    let connect = String::from_utf8(connect_request(GOOD_TARGET, &[])).expect("ASCII");
    let denied = String::from_utf8(connect_request("evil.example:443", &[])).expect("ASCII");
    let version = |version: &str| connect.replace("HTTP/1.1", version);
    let rows = [
        Row::raw("h30", format!("CONNECT {GOOD_TARGET}\r\n\r\n"), &[400, 505, SILENCE]),
        Row::raw("h30", version("HTTP/1.2"), &[400, 505]),
        Row::raw("h30", version("HTTP/2.0"), &[400, 505]),
        Row::raw("h30", version("HTTP/11"), &[400, 505]),
        Row::raw("h30", version("http/1.1"), &[400, 505]),
        Row::raw("h30", version("HTTP/1.1 "), &[400, 505]),
        Row::raw("h30", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400, 405, 505]),
        Row::raw("h30", connect.replace("\r\n", "\n"), &[400]),
        Row::raw("h30", connect.replacen("\r\n", "\n", 1), &[400]),
        Row::raw("h30", connect.replace("CONNECT ", "CONNECT  "), &[400]),
        Row::raw("h30", connect.replace("CONNECT ", "CONNECT\t"), &[400]),
        Row::raw("h30", format!("\r\n{connect}"), &[200, 400]),
        Row::raw("h30", format!("\r\n{denied}"), &[403, 400]),
        Row::raw("h30", format!("{}{denied}", "\r\n".repeat(40_000)), &[403, 400, 431]),
        Row::raw("h32", format!("\n{denied}"), &[403, 400]),
        Row::raw("h32", format!("\n{connect}"), &[200, 400]),
        Row::raw("h32", format!(" {connect}"), &[400]),
    ];
    run(&rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h31_other_protocols_at_the_plain_port_are_no_requests() {
    let hello = client_hello(Pki::new().client_config(), GOOD);
    let rows = [
        Row::raw("h31", hello, &[400, SILENCE]),
        Row::raw("h31", "SSH-2.0-OpenSSH_9.6\r\n", &[400, SILENCE]),
        Row::raw("h31", [5, 1, 0], &[400, SILENCE]),
        Row::raw("h31", [4, 1, 1, 187, 127, 0, 0, 1, 0], &[400, SILENCE]),
        Row::raw("h31", [0; 64], &[400, SILENCE]),
    ];
    run(&rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h31_plain_requests_at_a_port_that_speaks_tls_alone_are_refused() {
    let pki = Pki::new();
    let files = pki.pem_files("gateway", &["127.0.0.1"]);
    let listener = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nplain = false\ntls = {{ certificate = {:?}, key = {:?} }}\n",
        files.certificate, files.key
    );
    let stage = Stage::good(Config::new(&format!("{listener}{ANYONE}"))).await;
    let mut client = RawClient::connect(stage.gateway.proxy()).await;
    client.send(&connect_request(GOOD_TARGET, &[])).await;
    let answer = client.refusal().await;
    assert!(answer.is_none_or(|answer| answer.head.status == 400));
    assert_eq!(stage.azure.connections(), 0);
}
