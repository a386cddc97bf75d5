//! What commands say: a wrong configuration, and the running agent through its pipe.

use end_to_end::agent::Agent;

use crate::agent_stage::By;
use crate::stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn what_windows_does_not_have_is_refused_with_what_to_write() {
    let stage = stage().await;
    stage.configure(
        &[By::Key],
        "[source.syslog.local]\nunix = [\"log.sock\"]\n\
         [source.files.app]\npaths = [\"/var/log/*.log\"]\ntable = \"App_CL\"\n\
         [source.performance.all]\ncounters = [{ object = \"Processor\", every = \"10s\" }]\n",
    );
    let outcome = stage.home.command(&["check"]).await;
    assert_eq!(outcome.exit, 78, "{}", outcome.stderr);
    for expected in ["no unix sockets", "must begin with a drive", "which `counters`?"] {
        assert!(outcome.stderr.contains(expected), "{expected} in {}", outcome.stderr);
    }
    let outcome = stage.home.command(&["status"]).await;
    assert_eq!(outcome.exit, 78);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn the_sample_is_right_but_for_its_onboarding() {
    let stage = stage().await;
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/windows/agent.toml");
    stage.home.reconfigure(&std::fs::read_to_string(sample).unwrap());
    // Wine has no authorities but those of the machine it runs on: they may be missing, and are not what this is about.
    let outcome = stage.home.command(&["check"]).await;
    let problems: Vec<&str> =
        outcome.stderr.lines().filter(|line| !line.contains("certificates of authorities")).collect();
    assert!(problems.iter().all(|line| line.contains("is not onboarded")), "{outcome:?}");
    assert_eq!(outcome.exit, 78);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn the_running_agent_answers_through_its_pipe_and_to_nobody_when_it_is_gone() {
    let stage = stage().await;
    stage.configure(&[By::Key], "[source.heartbeat.often]\nevery = \"1s\"\n");
    let outcome = stage.home.command(&["status"]).await;
    assert!(outcome.exit == 1 && outcome.stderr.contains("no agent answers at \\\\.\\pipe\\"), "{outcome:?}");
    let mut agent = Agent::start(&stage.home).await;
    let second = stage.home.command(&["run"]).await;
    assert!(second.exit == 78 && second.stderr.contains("another agent-lite runs"), "{second:?}");
    let shown = stage.home.command(&["tail", "--json", "-n", "2"]).await;
    assert_eq!(shown.stdout.lines().filter(|line| line.contains("Heartbeat")).count(), 2, "{shown:?}");
    // Callers one after another: each takes an instance of the pipe.
    for _ in 0..10 {
        assert_eq!(stage.status().await["sources"][0]["name"], "heartbeat.often");
    }
    stage.assert_all_is_well().await;
    // Ctrl+C.
    agent.signal("INT").await;
    assert!(agent.exit_status().await.success());
    assert!(!stage.home.path().join("state/running").exists(), "it did not end in order");
}
