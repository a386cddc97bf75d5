//! Bad input of every kind: it is named and counted, what to change is said, and nothing else is lost.

use std::os::unix::fs::symlink;

use end_to_end::record::Record;
use end_to_end::workspace::Row;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;

use crate::agent_load::append;
use crate::agent_load::append_series;
use crate::agent_load::send_series;
use crate::agent_trial::By;
use crate::agent_trial::QUICK;
use crate::agent_trial::SOURCE_TROUBLE;
use crate::agent_trial::Trial;
use crate::agent_trial::UPLOAD_FAILED;
use crate::agent_trial::wait_for;

const LENGTH: usize = 200;
const MANY: u64 = 200;
/// A line of 10 MB.
const ENDLESS: usize = 10_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_that_is_no_log_is_named_and_counted_and_costs_no_other_record() {
    let trial = Trial::new(1).await;
    std::fs::create_dir(trial.log("gone")).expect("a folder");
    let sources = "[source.syslog.local]\ntcp = [\"127.0.0.1:0\"]\nudp = [\"127.0.0.1:0\"]\n\
        [source.files.app]\npaths = [\"{logs}/*.log\"]\ntable = \"App_CL\"\nlook = \"200ms\"\nfrom = \"beginning\"\n\
        [source.files.gone]\npaths = [\"{logs}/gone/*.log\"]\ntable = \"App_CL\"\nlook = \"200ms\"\nfrom = \"beginning\"\n";
    trial.configure(&[(By::Token, "")], &format!("{QUICK}{sources}"));
    symlink(trial.log("loop.log"), trial.log("loop.log")).expect("a link that leads nowhere");
    std::fs::create_dir(trial.log("folder.log")).expect("a folder");
    let agent = trial.start().await;
    // By TCP, good records before and after each bad one.
    send_series(agent.tcp(), "t", 0..MANY, LENGTH).await;
    let mut stream = TcpStream::connect(agent.tcp()).await.expect("a source that listens");
    stream
        .write_all(b"no header at all\n<13>1 - - - - - - bad \xFF\xFE utf-8\n<999>what\n")
        .await
        .expect("sent");
    stream
        .write_all(&[b"<13>endless ".as_slice(), &vec![b'x'; ENDLESS], b"\n"].concat())
        .await
        .expect("sent");
    stream.write_all(b"99999999999 <\n<13>1 - - - - - - after the bad ones\n").await.expect("sent");
    stream.shutdown().await.expect("an orderly end");
    send_series(agent.tcp(), "t", MANY..2 * MANY, LENGTH).await;
    // By UDP.
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    for bad in [b"".as_slice(), b"\0\0\0", b"\xC3(", &[0xFF; 60_000]] {
        socket.send_to(bad, agent.udp()).await.expect("sent");
    }
    // In files.
    let file = trial.log("app.log");
    append_series(&file, "f", 0..MANY, LENGTH);
    append(&file, b"bad \xFF\xFE utf-8\n");
    append(&file, &[vec![b'y'; ENDLESS], b"\n".to_vec()].concat());
    append(&file, &[0; 5000]);
    append(&file, b"\n");
    append_series(&file, "f", MANY..2 * MANY, LENGTH);
    append_series(&trial.log("gone/app.log"), "g", 0..MANY, LENGTH);
    for (table, series, sent) in [("Syslog", "t", 2 * MANY), ("App_CL", "f", 2 * MANY), ("App_CL", "g", MANY)]
    {
        trial.wait_for_series(0, table, series, sent).await;
    }
    // A folder that vanishes and comes back.
    std::fs::remove_dir_all(trial.log("gone")).expect("our own folder");
    let gone = |record: &Record| record.text("detail").contains("logs/gone: the folder of");
    wait_for(agent.log(), SOURCE_TROUBLE, gone).await;
    std::fs::create_dir(trial.log("gone")).expect("a folder");
    append_series(&trial.log("gone/app.log"), "g", MANY..2 * MANY, LENGTH);
    trial.wait_for_series(0, "App_CL", "g", 2 * MANY).await;
    trial.drain().await;
    for (table, series) in [("Syslog", "t"), ("App_CL", "f"), ("App_CL", "g")] {
        trial.assert_whole(0, table, series, 2 * MANY);
    }
    let texts = |rows: &[Row]| rows.iter().map(|row| row.message().to_owned()).collect::<Vec<_>>();
    let syslog = texts(&trial.fake.rows(trial.id(0), "Syslog"));
    for expected in ["no header at all", "bad \u{FFFD}\u{FFFD} utf-8", "after the bad ones"] {
        assert_eq!(syslog.iter().filter(|text| text.contains(expected)).count(), 1, "{expected}");
    }
    let files = texts(&trial.fake.rows(trial.id(0), "App_CL"));
    assert_eq!(files.iter().filter(|text| text.contains("bad \u{FFFD}\u{FFFD} utf-8")).count(), 1);
    for (texts, mark) in [(&syslog, "xxxxxxxx"), (&files, "yyyyyyyy")] {
        let long: Vec<usize> = texts.iter().filter(|text| text.contains(mark)).map(String::len).collect();
        assert!(matches!(long[..], [length] if (60_000..=65_536).contains(&length)), "{long:?}");
    }
    let status = trial.status().await;
    let (syslog, files) = (status.source_losses("syslog.local"), status.source_losses("files.app"));
    let least = |losses: &std::collections::BTreeMap<String, u64>, kind: &str, count: u64| {
        assert!(losses.get(kind).is_some_and(|counted| *counted >= count), "{kind}: {losses:?}");
    };
    let _ =
        [("unparsed", 3), ("invalid_text", 2), ("cut", 1)].map(|(kind, count)| least(&syslog, kind, count));
    let _ =
        [("unreadable", 2), ("invalid_text", 2), ("cut", 1)].map(|(kind, count)| least(&files, kind, count));
    for (path, why) in [("loop.log", "symbolic links"), ("folder.log", "it is a folder")] {
        let named =
            |record: &Record| record.text("detail").contains(path) && record.text("detail").contains(why);
        wait_for(agent.log(), SOURCE_TROUBLE, named).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_and_certificates_are_named_and_what_waited_arrives_when_they_are_mended() {
    const TABLES: [&str; 6] =
        ["Syslog", "AgentLiteSyslog_CL", "Syslog", "Syslog", "Syslog", "AgentLiteSyslog_CL"];
    let trial = Trial::new(6).await;
    let ways = [By::Token, By::Key, By::Certificate, By::Token, By::Certificate, By::Key].map(|by| (by, ""));
    let config = format!("{QUICK}[source.syslog.local]\ntcp = [\"127.0.0.1:0\"]\n");
    trial.configure(&ways, &config);
    trial.onboard(2).await;
    trial.onboard(4).await;
    let workspaces = trial.fake.workspaces();
    trial.secret("w1.key", &workspaces[0].key_text());
    trial.secret("w3.secret", "wrong");
    trial.fake.forget_agents(trial.id(2));
    let identity = |number: usize, file: &str| {
        trial.home.path().join(format!("state/identity/{}/{file}", trial.id(number)))
    };
    std::fs::copy(identity(2, "agent.key"), identity(4, "agent.key")).expect("a key of our own");
    let expiring = workspaces[5].ods();
    trial.fake.show(&trial.pki, &expiring, end_to_end::workspace::Shown::Expired);
    let agent = trial.start().await;
    send_series(agent.tcp(), "t", 0..MANY, LENGTH).await;
    trial.wait_for_series(0, "Syslog", "t", MANY).await;
    let expected = [
        (1, "look at the workspace's ID and key"),
        (2, "the onboarding"),
        (3, "the secret is wrong"),
        (4, "no certificate and key in it belong together; onboard this workspace again"),
        (5, "set this machine's clock"),
    ];
    for (number, text) in expected {
        let place = format!("w{number}");
        let of = |record: &Record| record.is("place", &place) && record.text("detail").contains(text);
        wait_for(agent.log(), UPLOAD_FAILED, of).await;
        assert_eq!(trial.fake.tables(trial.id(number)), Vec::<String>::new(), "workspace {number}");
    }
    trial.fake.show(&trial.pki, &expiring, end_to_end::workspace::Shown::Proper);
    trial.configure(&ways, &config);
    trial.onboard(2).await;
    trial.onboard(4).await;
    agent.hang_up().await;
    for (number, table) in TABLES.into_iter().enumerate() {
        trial.wait_for_series(number, table, "t", MANY).await;
        trial.assert_whole(number, table, "t", MANY);
    }
}
