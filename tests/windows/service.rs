//! The service, from its installation to its removal.

use std::fs;

use crate::ONE_SERVICE;
use crate::agent_stage::By;
use crate::by_drive;
use crate::stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn the_service_is_installed_started_reloaded_stopped_and_removed() {
    let _alone = ONE_SERVICE.lock().await;
    let stage = stage().await;
    stage.configure(&[By::Key], "[source.heartbeat.often]\nevery = \"1s\"\n");

    let service = async |what: &str| stage.home.command(&["service", what]).await;
    let outcome = service("start").await;
    assert!(outcome.exit == 1 && outcome.stderr.contains("is it installed"), "{outcome:?}");
    let outcome = service("install").await;
    assert_eq!(outcome.exit, 0, "{outcome:?}");
    let name = by_drive(&stage.home.config()).replace('/', "\\");
    assert!(outcome.stdout.contains(&name), "{outcome:?} names {name}");
    assert_eq!(service("install").await.exit, 0, "once more changes it");

    let outcome = service("start").await;
    assert_eq!(outcome.exit, 0, "{outcome:?}");
    assert_eq!(service("state").await.stdout.trim(), "Running");
    stage.fake.wait_for_rows(stage.id(0), &By::Key.table("Heartbeat"), 2).await;
    assert_eq!(stage.status().await["sources"][0]["name"], "heartbeat.often");

    stage.configure(&[By::Key], "[source.heartbeat.other]\nevery = \"1s\"\n");
    let outcome = service("reload").await;
    assert_eq!(outcome.exit, 0, "{outcome:?}");
    stage
        .wait_for_status("the service has taken the other configuration", |status| {
            (status["sources"][0]["name"] == "heartbeat.other").then_some(())
        })
        .await;

    let outcome = service("stop").await;
    assert_eq!(outcome.exit, 0, "{outcome:?}");
    assert_eq!(service("state").await.stdout.trim(), "Stopped");
    let state = stage.home.path().join("state");
    assert!(!state.join("running").exists(), "it did not end in order");
    let log = fs::read_to_string(state.join("agent-lite.log")).unwrap();
    assert!(log.contains("\"event_id\":500") && log.contains("sources first"), "{log}");
    assert_eq!(service("start").await.exit, 0, "once more");
    let outcome = service("uninstall").await;
    assert_eq!(outcome.exit, 0, "{outcome:?}");
    assert_ne!(service("state").await.exit, 0, "it is not there any more");
}
