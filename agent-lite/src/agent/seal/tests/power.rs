//! The seal, a clone's change of identity, its way back and a golden image, when the power is cut at any step.

use super::*;
use crate::durable::double::Recording;
use crate::durable::double::record;

/// How many disks each cut may leave.
const CHANCES: u64 = 12;

impl Stage {
    /// Puts in the place of everything what the disk may hold after a cut.
    fn cut(&self, recording: &Recording, after: usize, chance: u64) {
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
        recording.crash(after, chance, self.folder.path());
    }

    fn is_sealed(&self) -> bool {
        matches!(look(&self.config).unwrap(), Look::Sealed(judgement) if judgement.machine == Machine::TheSame)
    }
}

#[test]
fn wherever_the_power_is_cut_the_next_start_finds_the_same_machine_sealed() {
    for chance in 0..CHANCES {
        for renewed in [false, true] {
            let stage = Stage::new();
            let id = stage.agent_id();
            match renewed {
                true => stage.set_part("sys/class/net/eth0/address", "another"),
                false => fs::remove_file(stage.state().join(SEAL)).unwrap(),
            }
            let recording = record(stage.folder.path());
            assert_eq!(keep(&stage.config).unwrap(), None);
            let end = recording.done();
            assert!(end >= 5, "{end}");
            for after in 0..=end {
                stage.cut(&recording, after, chance);
                if after == end {
                    assert!(stage.is_sealed(), "{chance}");
                }
                assert_eq!(keep(&stage.config).unwrap(), None, "{after} {chance}");
                assert!(stage.is_sealed(), "{after} {chance}");
                assert_eq!((stage.agent_id(), stage.waiting()), (id.clone(), 3), "{after} {chance}");
            }
        }
    }
}

#[test]
fn a_clone_whose_power_is_cut_anywhere_has_set_all_aside_after_its_next_start() {
    for chance in 0..CHANCES {
        let stage = Stage::new();
        let first = stage.agent_id();
        stage.become_machine("second");
        let recording = record(stage.folder.path());
        let found = keep(&stage.config).unwrap().unwrap();
        let end = recording.done();
        assert!(end > 20, "{end}");
        for after in 0..=end {
            stage.cut(&recording, after, chance);
            if after == end {
                assert_eq!(list(&stage.state()), std::slice::from_ref(&found), "{chance}");
            }
            keep(&stage.config).unwrap_or_else(|error| panic!("{after} {chance}: {error}"));
            assert_eq!((stage.agent_id(), stage.waiting()), (None, 0), "{after} {chance}");
            assert!(!stage.state().join("identity").exists(), "{after} {chance}");
            let listed = list(&stage.state());
            let [one] = listed.as_slice() else { panic!("{after} {chance}: {listed:?}") };
            assert_eq!(one.records, 3, "{after} {chance}");
            let kept = inherited::of_state(&stage.state(), one);
            let key = fs::read_to_string(kept.join("identity").join(ID).join("agent.key")).unwrap();
            assert_eq!(key, "key of the first", "{after} {chance}");
            assert_eq!(fs::read_to_string(kept.join("agent-id")).ok(), first, "{after} {chance}");
            let queue = inherited::of_spool(one).join("main");
            assert_eq!(spool::contents(&queue).unwrap().records, 3, "{after} {chance}");
            assert_eq!(keep(&stage.config).unwrap(), None, "{after} {chance}");
            assert!(stage.is_sealed(), "{after} {chance}");
        }
    }
}

#[test]
fn what_is_taken_back_is_all_there_wherever_the_power_is_cut_once_it_is_tried_again() {
    for chance in 0..CHANCES {
        let stage = Stage::new();
        let first = stage.agent_id();
        stage.become_machine("second");
        keep(&stage.config).unwrap().unwrap();
        start::agent_id(&stage.state()).unwrap();
        stage.append(2);
        let recording = record(stage.folder.path());
        take_back(&stage.config, TakeBack::QueuesAndIdentity).unwrap();
        let end = recording.done();
        assert!(end > 10, "{end}");
        for after in 0..=end {
            stage.cut(&recording, after, chance);
            if after == end {
                assert_eq!((stage.agent_id(), stage.waiting()), (first.clone(), 5), "{chance}");
            }
            if !list(&stage.state()).is_empty() {
                take_back(&stage.config, TakeBack::QueuesAndIdentity)
                    .unwrap_or_else(|error| panic!("{after} {chance}: {error}"));
            }
            // A segment may be under both names for a while: it is sent twice then.
            let waiting = stage.waiting();
            assert!(waiting == 5 || after < end && waiting == 8, "{after} {chance}: {waiting}");
            assert_eq!(stage.agent_id(), first, "{after} {chance}");
            let key = stage.state().join("identity").join(ID).join("agent.key");
            assert_eq!(fs::read_to_string(key).unwrap(), "key of the first", "{after} {chance}");
        }
    }
}

#[test]
fn a_generalized_machine_has_no_identity_on_its_disk_whenever_the_power_is_cut() {
    for chance in 0..CHANCES {
        let stage = Stage::new();
        let recording = record(stage.folder.path());
        generalize(&stage.config, Waiting::Discard).unwrap();
        let end = recording.done();
        for after in 0..=end {
            stage.cut(&recording, after, chance);
            let who = ["identity", "agent-id", SEAL].map(|name| stage.state().join(name).exists());
            let queue = stage.queue().exists() && stage.waiting() == 3;
            // A disk that has begun to forget the queue has forgotten who the agent is.
            assert!(queue || who == [false; 3], "{after} {chance}: {who:?}");
            assert!(after < end || who == [false; 3] && !stage.queue().exists(), "{chance}: {who:?}");
            generalize(&stage.config, Waiting::Discard).unwrap();
            let left = stage.everything();
            assert!(left.is_empty(), "{after} {chance}: {left:?}");
        }
    }
}
