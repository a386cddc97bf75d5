//! `agent-lite import-omsagent` on trees as the legacy agent leaves them behind.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use tempfile::TempDir;

const FIRST: &str = "aaaaaaaa-1111-4000-8000-000000000001";
const SECOND: &str = "bbbbbbbb-2222-4000-8000-000000000002";
const AGENT: &str = "5a8c4200-04e3-4d96-97d8-6ac82cda4783";

/// A machine's copied files, with one workspace.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.workspace(FIRST);
        symlink(format!("{FIRST}/conf"), tree.omsagent().join("conf")).unwrap();
        tree.write("proxy.conf", "http://edge7:p%40ss@10.20.0.5:8080\n");
        tree.write_at(
            "etc/rsyslog.d/95-omsagent.conf",
            &format!("# OMS Syslog collection for workspace {FIRST}\nkern.warning @127.0.0.1:25224\nauth.=err;auth.=crit @127.0.0.1:25224\n"),
        );
        tree
    }

    fn workspace(&self, id: &str) {
        let conf = |name: &str| format!("{id}/conf/{name}");
        self.write(
            &conf("omsadmin.conf"),
            &format!(
                "WORKSPACE_ID={id}\nAGENT_GUID={AGENT}\nLOG_FACILITY=local0\n\
                 CERTIFICATE_UPDATE_ENDPOINT=https://{id}.oms.opinsights.azure.com/ConfigurationService.Svc/RenewCertificate\n\
                 URL_TLD=opinsights.azure.com\nDSC_ENDPOINT=https://{id}.agentsvc.azure-automation.net/Accounts/{id}/Nodes\\(AgentId='{AGENT}'\\)\n\
                 OMS_ENDPOINT=https://{id}.ods.opinsights.azure.com/OperationalData.svc/PostJsonDataItems\nAZURE_RESOURCE_ID=\n"
            ),
        );
        self.write(
            &conf("omsagent.d/syslog.conf"),
            "<source>\n  type syslog\n  port 25224\n  bind 127.0.0.1\n  protocol_type udp\n  tag oms.syslog\n</source>\n",
        );
        self.write(
            &conf("omsagent.d/customlog.conf"),
            &format!(
                "# by the portal\n<source>\n  type sudo_tail\n  path /var/log/plant/*.log\n  pos_file /x/CUSTOM_LOG_BLOB.Plant_CL_{id}.pos\n\
                 \x20 read_from_head false\n  run_interval 60\n  tag oms.blob.CustomLog.CUSTOM_LOG_BLOB.Plant_CL_{id}.*\n  format none\n</source>\n"
            ),
        );
        self.write(
            &conf("omsagent.d/omsconfig.perf.conf"),
            "<source>\n  type oms_omi\n  object_name \"Logical Disk\"\n  instance_regex \".*\"\n  counter_name_regex \"(% Used Space|Free Megabytes)\"\n\
             \x20 interval 300s\n</source>\n\n<source>\n  type oms_omi\n  object_name \"Apache HTTP Server\"\n  interval 60s\n</source>\n",
        );
    }

    fn omsagent(&self) -> PathBuf {
        self.0.path().join("etc/opt/microsoft/omsagent")
    }

    fn write(&self, name: &str, text: &str) {
        self.write_at(&format!("etc/opt/microsoft/omsagent/{name}"), text);
    }

    fn write_at(&self, name: &str, text: &str) {
        let file = self.0.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn import(&self, folder: &Path, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent-lite"));
        command.arg("import-omsagent").arg(folder).args(more).current_dir(self.0.path()).output().unwrap()
    }
}

fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_legacy_set_up_becomes_a_configuration_in_which_each_value_says_where_it_came_from() {
    let tree = Tree::new();
    let text = good(&tree.import(tree.0.path(), &[]));
    let expected = format!(
        r#"# Made by `agent-lite import-omsagent` of the legacy agent's files; behind each value stands where it came from.

[gateway]
# It has a password; `--write FILE` writes the value itself.
proxy_conf = "{}" # proxy.conf:1; `%40` and its like are decoded, which the legacy agent did at its onboarding only

[workspace.main]
transport = "log-analytics-agent"
id = "{FIRST}" # {FIRST}/conf/omsadmin.conf:1
domain = "opinsights.azure.com" # {FIRST}/conf/omsadmin.conf:5

[source.syslog.local]
udp = ["127.0.0.1:25224"] # {FIRST}/conf/omsagent.d/syslog.conf:1
facilities = ["kern", "auth"] # {}
severity = "warning" # {}, the least of all; that file goes on filtering

[source.files.Plant]
paths = ["/var/log/plant/*.log"] # {FIRST}/conf/omsagent.d/customlog.conf:2
table = "Plant_CL"

[source.performance.default]
counters = [
  {{ object = "Logical Disk", counters = ["Free Megabytes", "% Used Space"], every = "300s" }}, # {FIRST}/conf/omsagent.d/omsconfig.perf.conf:1
]

[source.heartbeat.default] # as the legacy agent's
every = "60s"

# Not carried over:
# {FIRST}/conf/omsadmin.conf:3: LOG_FACILITY: agent-lite writes its own log to standard error and the journal
# {FIRST}/conf/omsadmin.conf:6: DSC_ENDPOINT: what Azure Automation set is read from the files it wrote; agent-lite does not ask it
# {FIRST}/conf/omsagent.d/omsconfig.perf.conf:9: object_name Apache HTTP Server: agent-lite has no such performance object: docs/counters.md
"#,
        tree.omsagent().join("proxy.conf").display(),
        tree.0.path().join("etc/rsyslog.d/95-omsagent.conf").display(),
        tree.0.path().join("etc/rsyslog.d/95-omsagent.conf").display(),
    );
    assert_eq!(text, expected);
    // The agent's own folder is the same as the root of the tree.
    assert_eq!(good(&tree.import(&tree.omsagent(), &[])), expected);
}

#[test]
fn a_written_configuration_is_its_owners_has_the_password_and_never_replaces_a_file() {
    let tree = Tree::new();
    let said = good(&tree.import(tree.0.path(), &["--write", "agent.toml"]));
    assert!(said.contains("agent.toml: written, and it is right"), "{said}");
    assert!(said.contains("not carried over: ") && said.contains("Apache HTTP Server"), "{said}");
    assert!(
        said.contains(&format!("agent-lite onboard -w {FIRST} -k KEY_FILE")) && !said.contains("p%40ss"),
        "{said}"
    );
    let file = tree.0.path().join("agent.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(r#"proxies = ["http://edge7:p%40ss@10.20.0.5:8080"] # proxy.conf:1"#), "{text}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = refused(&tree.import(tree.0.path(), &["--write", "agent.toml"]));
    assert!(again.contains("it is there already"), "{again}");
}

#[test]
fn workspaces_share_what_they_have_in_common() {
    let tree = Tree::new();
    tree.workspace(SECOND);
    tree.write(
        &format!("{SECOND}/conf/omsagent.d/syslog.conf"),
        "<source>\n  type syslog\n  port 25225\n  bind 127.0.0.1\n  tag oms.syslog\n</source>\n",
    );
    tree.write("scom/conf/omsadmin.conf", "WORKSPACE_ID=scom\n");
    let text = good(&tree.import(tree.0.path(), &[]));
    for part in [
        "[workspace.main]\n",
        "[workspace.w-bbbbbbbb]\n",
        "[source.syslog.local]\nworkspaces = [\"main\"]\nudp = [\"127.0.0.1:25224\"]",
        "[source.syslog.local-2]\nworkspaces = [\"w-bbbbbbbb\"]\nudp = [\"127.0.0.1:25225\"]",
        "# No file says what is handed over to this port: all that comes is taken.",
        "# scom/conf/omsadmin.conf: a workspace: WORKSPACE_ID is no GUID",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert_eq!(
        (text.matches("[source.files.").count(), text.matches("[source.performance.").count()),
        (1, 1),
        "{text}"
    );
}

#[test]
fn workspaces_whose_ids_begin_alike_stay_apart_and_one_that_stands_twice_is_left() {
    let tree = Tree::new();
    let alike = ["cccccccc-1111-4000-8000-000000000001", "cccccccc-2222-4000-8000-000000000002"];
    alike.iter().for_each(|id| tree.workspace(id));
    tree.write(
        "zcopy/conf/omsadmin.conf",
        &format!("WORKSPACE_ID={}\nAGENT_GUID={AGENT}\n", alike[0].to_uppercase()),
    );
    let text = good(&tree.import(tree.0.path(), &[]));
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("[workspace.")?.strip_suffix(']')).collect();
    assert_eq!(names, ["main", "w-cccccccc", "w-cccccccc-2"], "{text}");
    assert!(text.contains("zcopy/conf/omsadmin.conf: a workspace: another folder has the same"), "{text}");
}

#[test]
fn a_proxys_value_keeps_its_meaning_or_is_refused() {
    let tree = Tree::new();
    let cases = [
        (
            "10.0.0.9\n",
            "proxies = [\"10.0.0.9:80\"] # proxy.conf:1; it names no port, and the legacy agent took 80",
        ),
        (
            "\nhttps://gw.example:8443/\n",
            "proxies = [\"https://gw.example:8443\"] # proxy.conf:2; the legacy agent sent its data to it in clear",
        ),
        ("u:p@ss@gw.example\n", "Write the port into it: agent-lite takes 8080"),
    ];
    for (value, expected) in cases {
        tree.write("proxy.conf", value);
        let text = good(&tree.import(tree.0.path(), &[]));
        assert!(text.contains(expected) && !text.contains("p@ss"), "{value}: {text}");
    }
    tree.write("proxy.conf", "ftp://u:hunter2@gw:1\n");
    let said = refused(&tree.import(tree.0.path(), &[]));
    assert!(said.contains("proxy.conf:1") && !said.contains("hunter2"), "{said}");
    let given = good(&tree.import(tree.0.path(), &["-p", "http://gateway:8080"]));
    assert!(given.contains("proxies = [\"http://gateway:8080\"] # the command line"), "{given}");
    fs::remove_file(tree.omsagent().join("proxy.conf")).unwrap();
    let said = refused(&tree.import(tree.0.path(), &[]));
    assert!(said.contains("name the gateway: -p"), "{said}");
}

#[test]
fn a_tree_that_is_none_or_hostile_is_refused_or_read_as_far_as_it_can_be() {
    let tree = Tree::new();
    let said = refused(&tree.import(&tree.0.path().join("nowhere"), &[]));
    assert!(said.contains("there is no such folder"), "{said}");
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(&tree.import(empty.path(), &[])).contains("no workspace in it"));
    let hostile = format!("{FIRST}/conf/omsagent.d");
    tree.write(&format!("{hostile}/a.conf"), "<source>\n type sudo_tail\n path /x\"]\\n[gateway]\n tag a.CUSTOM_LOG_BLOB.X\"_CL_1.*\n</source>\n<\u{1b}[2J>\n");
    tree.write(&format!("{hostile}/b.conf"), &"<a>\n".repeat(100_000));
    fs::write(tree.omsagent().join(&hostile).join("c.conf"), b"\xff\xfe\x00").unwrap();
    fs::write(tree.omsagent().join(&hostile).join("d.conf"), vec![b'x'; 2 << 20]).unwrap();
    fs::create_dir(tree.omsagent().join(&hostile).join("e.conf")).unwrap();
    let text = good(&tree.import(tree.0.path(), &[]));
    assert!(!text.contains('\u{1b}') && text.contains("table = \"Plant_CL\""), "{text}");
    for name in ["b.conf: 99500 more", "c.conf: a file", "d.conf: a file", "e.conf: a file"] {
        assert!(text.contains(name), "{name} is missing");
    }
}

#[test]
fn an_identity_that_does_not_fit_is_not_taken_over() {
    let tree = Tree::new();
    tree.write(&format!("{FIRST}/certs/oms.crt"), "no certificate");
    tree.write(&format!("{FIRST}/certs/oms.key"), "no key");
    let said =
        good(&tree.import(tree.0.path(), &["--write", "agent.toml", "--identity", "--state", "state"]));
    assert!(
        said.contains("its certificate is not taken over, oms.crt and oms.key do not belong together"),
        "{said}"
    );
    assert!(!tree.0.path().join("state").exists());
    // A pair that belongs together, of another workspace's agent.
    let made = rcgen::generate_simple_self_signed(vec![SECOND.to_owned()]).unwrap();
    tree.write(&format!("{FIRST}/certs/oms.crt"), &made.cert.pem());
    tree.write(&format!("{FIRST}/certs/oms.key"), &made.signing_key.serialize_pem());
    let said = good(&tree.import(tree.0.path(), &["--write", "b.toml", "--identity", "--state", "state"]));
    assert!(said.contains("oms.crt is another agent's or workspace's"), "{said}");
    assert!(!tree.0.path().join("state").exists());
}
