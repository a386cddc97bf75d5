#[cfg(unix)]
mod power;

use std::fs;

use common::document::Source;
use tempfile::TempDir;

use super::*;
use crate::agent::generalize::GeneralizeError;
use crate::agent::generalize::Waiting;
use crate::agent::generalize::generalize;
use crate::agent::inherited::TakeBack;
use crate::agent::inherited::discard;
use crate::agent::inherited::list;
use crate::agent::inherited::take_back;
use crate::config;
use crate::counters::Counters;
use crate::record::Column;
use crate::record::Frames;
use crate::record::Table;
use crate::record::Timestamp;
use crate::spool::Queue;
use crate::spool::QueueSettings;
use crate::spool::WhenFull;

const ID: &str = "aaaaaaaa-0000-0000-0000-000000000001";

/// A folder with a configuration, a machine to be seen, and a state folder.
struct Stage {
    folder: TempDir,
    config: Config,
}

impl Stage {
    /// A machine, sealed, with an identity and some records in its queue.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[gateway]\nproxies = [\"gw\"]\n[agent]\nstate = \"state\"\nhost_root = \"machine\"\n\
             [workspace.main]\ntransport = \"log-analytics-agent\"\nid = \"{ID}\"\n"
        );
        let source = Source { file: &folder.path().join("agent.toml"), text: &text };
        let config = config::parse(source, "host").unwrap();
        let stage = Self { folder, config };
        stage.become_machine("first");
        start::make_folders(&stage.config).unwrap();
        assert_eq!(keep(&stage.config).unwrap(), None);
        let identity = stage.state().join("identity").join(ID);
        fs::create_dir_all(&identity).unwrap();
        fs::write(identity.join("agent.key"), "key of the first").unwrap();
        start::agent_id(&stage.state()).unwrap();
        stage.append(3);
        stage
    }

    fn state(&self) -> PathBuf {
        self.config.state.clone()
    }

    fn queue(&self) -> PathBuf {
        self.config.spool.folder.join("main")
    }

    fn agent_id(&self) -> Option<String> {
        fs::read_to_string(self.state().join("agent-id")).ok()
    }

    /// Replaces the parts: those of this name have it in all their numbers.
    fn become_machine(&self, name: &str) {
        for part in ["sys/class/dmi/id/product_uuid", "sys/class/net/eth0/address", "sys/block/sda/serial"] {
            self.set_part(part, name);
        }
        self.set_part("etc/machine-id", "copied");
        fs::create_dir_all(self.folder.path().join("machine/sys/class/net/eth0/device")).unwrap();
    }

    fn set_part(&self, part: &str, name: &str) {
        let file = self.folder.path().join("machine").join(part);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("number-of-{name}")).unwrap();
    }

    fn append(&self, count: i64) {
        let settings = QueueSettings {
            folder: self.queue(),
            cap: 8 << 20,
            when_full: WhenFull::DropOldest,
            sync: std::time::Duration::from_secs(1),
            seal_after: std::time::Duration::from_secs(1),
            segment: 1 << 20,
        };
        let queue = Queue::open(settings, Counters::new().workspace("main")).unwrap();
        let mut frames = Frames::default();
        for number in 0..count {
            frames.begin(Timestamp(number)).integer(Column::ProcessId, number).finish();
        }
        queue.append(&Table::Syslog, &frames).unwrap();
    }

    fn waiting(&self) -> u64 {
        spool::contents(&self.queue()).unwrap().records
    }

    /// Every file below the state folder with its content, without the lock.
    fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.state()];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                match path.is_dir() {
                    true => folders.push(path),
                    false => files.push((path.clone(), fs::read(&path).unwrap())),
                }
            }
        }
        files.retain(|(path, _)| path.file_name().unwrap() != "lock");
        files.sort();
        files
    }
}

#[test]
fn the_same_machine_changes_nothing_and_one_changed_part_only_the_seal() {
    let stage = Stage::new();
    let before = stage.everything();
    assert_eq!(keep(&stage.config).unwrap(), None);
    assert_eq!(stage.everything(), before);
    for part in ["sys/class/net/eth0/address", "sys/block/sda/serial", "sys/class/dmi/id/product_uuid"] {
        stage.set_part(part, "another");
        assert_eq!(keep(&stage.config).unwrap(), None, "{part}");
        let changed: Vec<_> = stage.everything().into_iter().filter(|file| !before.contains(file)).collect();
        assert!(changed.iter().all(|(path, _)| path.ends_with(SEAL)) && changed.len() == 1, "{part}");
    }
    assert_eq!((stage.waiting(), list(&stage.state())), (3, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_copied_while_the_agent_runs_is_noticed() {
    let stage = Stage::new();
    let long = std::time::Duration::from_secs(3600);
    assert!(tokio::time::timeout(long, becomes_another(&stage.config)).await.is_err());
    stage.become_machine("second");
    tokio::time::timeout(long, becomes_another(&stage.config)).await.unwrap();
}

#[test]
fn a_clone_leaves_all_that_it_inherited_aside_and_begins_anew() {
    let stage = Stage::new();
    let first = stage.agent_id();
    stage.become_machine("second");
    let found = keep(&stage.config).unwrap().unwrap();
    assert_eq!(
        (found.records, found.agent_id.as_ref()),
        (3, first.as_ref().map(|id| id.trim().to_owned()).as_ref())
    );
    assert_eq!((stage.agent_id(), stage.waiting()), (None, 0));
    assert!(!stage.state().join("identity").exists() && !stage.state().join(JOURNAL).exists());
    assert_eq!(list(&stage.state()), std::slice::from_ref(&found));
    let kept = inherited::of_spool(&found).join("main");
    assert_eq!(spool::contents(&kept).unwrap().records, 3);
    assert!(sentence(&found, &stage.config).contains(&format!("agent-lite onboard -w {ID} -k KEY_FILE")));
    // It is sealed to this machine now.
    assert_eq!(keep(&stage.config).unwrap(), None);
    assert_ne!(Some(start::agent_id(&stage.state()).unwrap().to_string()), first);
    let held = fs::read_to_string(stage.state().join(SEAL)).unwrap();
    assert!(!held.contains("number-of") && !held.contains("copied"), "{held}");
}

#[test]
fn a_change_of_identity_that_was_interrupted_at_any_step_is_ended_by_the_next_start() {
    for step in 0..7 {
        let stage = Stage::new();
        stage.become_machine("second");
        let Look::Sealed(judgement) = look(&stage.config).unwrap() else { panic!("no seal") };
        let begun = begin(&stage.config, judgement).unwrap();
        let (kept, kept_queues) = (inherited::of_state(&stage.state(), &begun), inherited::of_spool(&begun));
        fs::create_dir_all(&kept).unwrap();
        fs::create_dir_all(&kept_queues).unwrap();
        let moves = [
            (stage.queue(), kept_queues.join("main")),
            (stage.state().join("identity"), kept.join("identity")),
            (stage.state().join("agent-id"), kept.join("agent-id")),
            (stage.state().join(SEAL), kept.join(SEAL)),
        ];
        moves.iter().take(step).for_each(|(from, to)| fs::rename(from, to).unwrap());
        if step > 4 {
            seal(&stage.config).unwrap();
        }
        if step > 5 {
            // What decides is what was found then, not what is found now.
            stage.become_machine("first");
        }
        assert_eq!(keep(&stage.config).unwrap(), Some(begun.clone()), "step {step}");
        assert_eq!((stage.agent_id(), stage.waiting()), (None, 0), "step {step}");
        assert_eq!(
            fs::read_to_string(kept.join("identity").join(ID).join("agent.key")).unwrap(),
            "key of the first"
        );
        assert_eq!(spool::contents(&kept_queues.join("main")).unwrap().records, 3, "step {step}");
        assert_eq!(keep(&stage.config).unwrap(), None, "step {step}");
        assert_eq!(list(&stage.state()), [begun], "step {step}");
    }
}

#[test]
fn what_was_inherited_can_be_taken_back_alone_or_with_the_identity_or_removed() {
    let clone = || {
        let stage = Stage::new();
        let first = stage.agent_id();
        stage.become_machine("second");
        keep(&stage.config).unwrap().unwrap();
        start::agent_id(&stage.state()).unwrap();
        stage.append(2);
        (stage, first)
    };
    let (stage, first) = clone();
    let moved = take_back(&stage.config, TakeBack::Queues).unwrap();
    assert_eq!((moved.records, moved.all, stage.waiting()), (3, true, 5));
    assert_ne!(stage.agent_id(), first);
    assert!(list(&stage.state()).is_empty() && !stage.state().join("inherited").exists());
    assert!(!stage.config.spool.folder.join(".inherited").exists());
    let nothing = take_back(&stage.config, TakeBack::Queues).unwrap_err();
    assert!(nothing.to_string().contains("nothing is inherited"), "{nothing}");

    let (stage, first) = clone();
    take_back(&stage.config, TakeBack::QueuesAndIdentity).unwrap();
    assert_eq!((stage.agent_id(), stage.waiting()), (first, 5));
    assert!(stage.state().join("identity").join(ID).join("agent.key").exists());
    assert_eq!(keep(&stage.config).unwrap(), None);

    let (stage, _) = clone();
    assert_eq!(discard(&stage.config).unwrap().len(), 1);
    assert_eq!((list(&stage.state()), stage.waiting()), (vec![], 2));

    let (stage, _) = clone();
    let _running = start::lock(&stage.state()).unwrap();
    let refused = discard(&stage.config).unwrap_err().to_string();
    assert!(refused.contains("another agent-lite runs"), "{refused}");
}

#[test]
fn a_clones_clone_keeps_two_queues_at_most() {
    let stage = Stage::new();
    for name in ["second", "third", "fourth", "fifth"] {
        stage.append(1);
        stage.become_machine(name);
        keep(&stage.config).unwrap().unwrap();
    }
    let kept = list(&stage.state());
    assert_eq!(kept.iter().map(|one| one.records).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(fs::read_dir(stage.config.spool.folder.join(".inherited")).unwrap().count(), 2);
}

#[test]
fn of_too_many_queues_the_empty_ones_go_first_and_the_newest_never() {
    let stage = Stage::new();
    for name in ["second", "third", "fourth", "fifth"] {
        stage.become_machine(name);
        keep(&stage.config).unwrap().unwrap();
        let kept = list(&stage.state());
        assert_eq!(kept[0].records, 3, "{name}: the only records there are stay");
    }
    // One of which nothing can be counted is not empty either.
    assert_eq!(counted(Err(io::Error::other("no"))), spool::Contents { records: 0, bytes: 1 });
    let newest = list(&stage.state()).pop().unwrap();
    stage.append(2);
    stage.become_machine("sixth");
    let last = keep(&stage.config).unwrap().unwrap();
    let kept: Vec<_> = list(&stage.state()).iter().map(|one| (one.folder.clone(), one.records)).collect();
    assert!(kept.iter().all(|(folder, _)| *folder != newest.folder), "it was empty");
    assert_eq!(kept.iter().map(|(_, records)| *records).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(kept[1].0, last.folder);
}

#[test]
fn a_note_that_leads_to_another_folder_moves_removes_and_sends_nothing() {
    let stage = Stage::new();
    stage.become_machine("second");
    let found = keep(&stage.config).unwrap().unwrap();
    let elsewhere = stage.folder.path().join("elsewhere");
    fs::rename(&stage.config.spool.folder, &elsewhere).unwrap();
    start::make_folders(&stage.config).unwrap();
    let note = inherited::of_state(&stage.state(), &found).join(inherited::NOTE);
    let forged = Inheritance { spool: elsewhere.clone(), ..found.clone() };
    fs::write(&note, serde_json::to_string(&forged).unwrap()).unwrap();
    for outcome in [
        take_back(&stage.config, TakeBack::QueuesAndIdentity).map(|_| ()),
        discard(&stage.config).map(|_| ()),
        finish(&stage.config, forged.clone()).map(|_| ()),
        finish(&stage.config, Inheritance { folder: "../../x".to_owned(), ..found.clone() }).map(|_| ()),
    ] {
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("`folder` is") || error.contains("no name of a folder"), "{error}");
    }
    let kept = elsewhere.join(inherited::IN_SPOOL).join(&found.folder).join("main");
    assert_eq!(spool::contents(&kept).unwrap().records, 3);
    assert!(note.exists());
    // It is the same folder by another way to it.
    fs::remove_dir_all(&stage.config.spool.folder).unwrap();
    fs::rename(&elsewhere, &stage.config.spool.folder).unwrap();
    let roundabout = stage.config.spool.folder.join("..").join("spool");
    let roundabout = if roundabout.exists() { roundabout } else { stage.config.spool.folder.clone() };
    fs::write(&note, serde_json::to_string(&Inheritance { spool: roundabout, ..found }).unwrap()).unwrap();
    assert_eq!(take_back(&stage.config, TakeBack::Queues).unwrap().records, 3);
}

#[cfg(unix)]
#[test]
fn what_a_link_or_another_user_put_there_is_not_taken_back() {
    let stage = Stage::new();
    stage.become_machine("second");
    let found = keep(&stage.config).unwrap().unwrap();
    let queue = inherited::of_spool(&found).join("main");
    let foreign = stage.folder.path().join("foreign");
    fs::rename(&queue, &foreign).unwrap();
    std::os::unix::fs::symlink(&foreign, &queue).unwrap();
    let error = take_back(&stage.config, TakeBack::Queues).unwrap_err().to_string();
    assert!(error.contains("it is a link"), "{error}");
    assert_eq!(spool::contents(&foreign).unwrap().records, 3);
    fs::remove_file(&queue).unwrap();
    fs::rename(&foreign, &queue).unwrap();
    let identity = inherited::of_state(&stage.state(), &found).join("identity");
    // Only root may give a file away; where the tests are not root's, that is not shown.
    if std::os::unix::fs::chown(&identity, Some(12_345), None).is_ok() {
        let error = take_back(&stage.config, TakeBack::QueuesAndIdentity).unwrap_err().to_string();
        assert!(error.contains("belongs to another user"), "{error}");
        assert!(identity.exists() && !stage.state().join("identity").exists());
    }
}

#[test]
fn nobody_asks_in_a_container_or_where_clones_are_ignored() {
    let mut stage = Stage::new();
    stage.become_machine("second");
    stage.set_part(".dockerenv", "");
    assert_eq!((keep(&stage.config).unwrap(), look(&stage.config).unwrap()), (None, Look::NotWatched));
    stage.config.clones = Some(Clones::Ignore);
    fs::remove_file(stage.config.host_root.join(".dockerenv")).unwrap();
    assert_eq!(look(&stage.config).unwrap(), Look::NotWatched);
    stage.config.clones = Some(Clones::Notice);
    stage.set_part(".dockerenv", "");
    assert!(keep(&stage.config).unwrap().is_some());
}

#[test]
fn a_broken_seal_is_made_anew_and_a_broken_journal_stops_the_start() {
    let stage = Stage::new();
    fs::write(stage.state().join(SEAL), "{").unwrap();
    assert_eq!(keep(&stage.config).unwrap(), None);
    assert!(matches!(look(&stage.config).unwrap(), Look::Sealed(_)));
    assert_eq!(stage.waiting(), 3);
    fs::write(stage.state().join(JOURNAL), "{").unwrap();
    let error = keep(&stage.config).unwrap_err().to_string();
    assert!(error.contains(JOURNAL) && error.contains("delete this file"), "{error}");
}

#[test]
fn a_generalized_machine_has_nothing_but_its_configuration() {
    let stage = Stage::new();
    fs::create_dir(stage.state().join("positions")).unwrap();
    fs::write(stage.state().join("mine.txt"), "an operator's").unwrap();
    let before = stage.everything();
    let refused = generalize(&stage.config, Waiting::Refuse).unwrap_err();
    assert!(matches!(&refused, GeneralizeError::Waiting { records: 3, .. }), "{refused}");
    assert_eq!(stage.everything(), before);
    let running = start::lock(&stage.state()).unwrap();
    let refused = generalize(&stage.config, Waiting::Discard).unwrap_err().to_string();
    assert!(refused.contains("another agent-lite runs"), "{refused}");
    assert_eq!(stage.everything(), before);
    drop(running);
    let used = spool::claim(&stage.queue()).unwrap();
    let refused = generalize(&stage.config, Waiting::Discard).unwrap_err().to_string();
    assert!(refused.contains("uses this queue"), "{refused}");
    assert_eq!(stage.everything(), before);
    drop(used);
    let done = generalize(&stage.config, Waiting::Discard).unwrap();
    assert_eq!((done.records, done.left), (3, vec![stage.state().join("mine.txt")]));
    assert_eq!(fs::read_dir(stage.state()).unwrap().count(), 1);
    // The image's machines begin as if the agent had never run there.
    assert!(generalize(&stage.config, Waiting::Refuse).unwrap().removed.is_empty());
    stage.become_machine("second");
    assert_eq!((keep(&stage.config).unwrap(), list(&stage.state())), (None, vec![]));
}

#[test]
fn an_identity_of_an_earlier_version_is_sealed_and_forgets_the_machine_id_itself() {
    let stage = Stage::new();
    fs::remove_file(stage.state().join(SEAL)).unwrap();
    assert_eq!(look(&stage.config).unwrap(), Look::NotSealed);
    let before = stage.agent_id();
    assert_eq!((keep(&stage.config).unwrap(), stage.agent_id()), (None, before));
    assert!(matches!(look(&stage.config).unwrap(), Look::Sealed(_)));
}
