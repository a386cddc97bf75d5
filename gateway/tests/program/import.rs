//! `la-gateway import-oms` and `import-squid`: a configuration in report mode that a start takes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::cast::Folder;

const GUID: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";

#[test]
fn the_lists_of_microsofts_gateway_become_a_configuration_in_report_mode() {
    let folder = Folder::new();
    let allowed = format!("\u{feff}{GUID}.ods.opinsights.azure.com\r\nwww.test.com\r\n10.1.1.1\r\n");
    let wide: Vec<u8> = allowed.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.path("allowed.txt"), wide).unwrap();
    folder.write("relay.txt", "Address  : http://www.myproxy.com:8080\r\nUsername : user1\r\n");
    let import = ["import-oms", "--allowed-hosts", "allowed.txt", "--relay", "relay.txt"];
    let done = folder.run(&import);
    assert!(done.code == 1 && done.err.contains("say with --from NETWORK"), "{}", done.err);
    assert_eq!(folder.names(), ["allowed.txt", "relay.txt"], "nothing is written");

    let with_network = [&import[..], &["--from", "10.20.0.0/16"]].concat();
    let done = folder.run(&with_network);
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{}", done.err);
    for words in
        ["bundles: log-analytics (1 of 2 entries)", "not taken over: 10.1.1.1: an IP address", "user1"]
    {
        assert!(done.err.contains(words), "{words}: {}", done.err);
    }
    let text = folder.read("gateway.toml");
    for line in [
        "mode = \"report\"",
        "proxies = [\"http://www.myproxy.com:8080\"]",
        "# log-analytics opens 4 host rules beside those seen: `la-gateway bundles show log-analytics`.",
        "bundles = [\"log-analytics\"]",
        &format!("workspaces = [\"{GUID}\"]"),
        "hosts = [\"www.test.com\"]",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}:\n{text}");
    }
    assert_eq!(fs::metadata(folder.path("gateway.toml")).unwrap().permissions().mode() & 0o777, 0o600);
    let checked = folder.run(&["--config", "gateway.toml", "check"]);
    assert!(checked.code == 0 && checked.out.contains("role agents is in report mode"), "{}", checked.err);
    let again = folder.run(&with_network);
    assert!(again.code == 1 && again.err.contains("must not be there yet"), "{}", again.err);
    assert_eq!(folder.read("gateway.toml"), text);
}

#[test]
fn squids_allowed_domains_become_the_same_and_its_lists_are_read_beside_it() {
    let folder = Folder::new();
    folder.write("extra.txt", "packages.example.com\n");
    folder.write(
        "squid.conf",
        "http_port 3128\nacl localnet src 10.20.0.0/16\n\
         acl azure dstdomain .ods.opinsights.azure.com .oms.opinsights.azure.com \"extra.txt\"\n\
         http_access allow localnet azure\nhttp_access deny all\ncache_peer p.example parent 3128 0 login=gw:p@ss\n",
    );
    let done = folder.run(&["import-squid", "squid.conf", "-o", "new.toml"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(!done.err.contains("p@ss") && !done.err.contains("p%40ss"), "{}", done.err);
    let text = folder.read("new.toml");
    for line in [
        "address = \"0.0.0.0:3128\"",
        "anonymous_from = [\"10.20.0.0/16\"]",
        "bundles = [\"log-analytics\"]",
        "hosts = [\"packages.example.com\"]",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}:\n{text}");
    }
    folder.write("empty.conf", "http_port 3128\n");
    let done = folder.run(&["import-squid", "empty.conf", "-o", "other.toml"]);
    assert!(done.code == 1 && done.err.contains("nothing to import"), "{}", done.err);
}
