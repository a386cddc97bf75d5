use std::fs;
use std::time::Duration;
use std::time::SystemTime;

use super::*;
use crate::upload::testing::pair;

type Files<'a> = &'a [(&'a str, &'a Pair)];

const WORKSPACE: &str = "12345678-9abc-def0-1234-56789abcdef0";

async fn identity() -> Identity {
    let agent_id = Uuid::new_v4();
    Identity {
        agent_id,
        workspace: WORKSPACE.to_owned(),
        domain: "opinsights.azure.com".to_owned(),
        update_endpoint: None,
        pair: pair(0).await,
    }
}

fn loaded(folder: &IdentityFolder) -> (Pair, Option<Pair>) {
    let stored = folder.load().unwrap().unwrap();
    (stored.identity.pair, stored.pending)
}

#[tokio::test]
async fn an_identity_is_read_back_and_is_only_for_its_owner() {
    let state = tempfile::tempdir().unwrap();
    let folder = IdentityFolder::new(state.path(), WORKSPACE);
    assert!(folder.load().unwrap().is_none());
    let identity = identity().await;
    folder.save(&identity).unwrap();
    let stored = folder.load().unwrap().unwrap();
    assert_eq!(stored.identity.agent_id, identity.agent_id);
    assert_eq!(stored.identity.domain, identity.domain);
    assert_eq!((stored.identity.pair, stored.pending), (identity.pair, None));
    #[cfg(unix)]
    for (name, expected) in [(".", 0o700), (KEY, 0o600), (CERTIFICATE, 0o600), (IDENTITY, 0o600)] {
        let metadata = fs::metadata(folder.path().join(name)).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&metadata) & 0o777, expected, "{name}");
    }
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [CERTIFICATE, KEY, IDENTITY]);
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_renewal_leaves_a_pair_that_belongs_together() {
    let (old, new) = (identity().await, pair(1).await);
    // Files that are there after each step of: key written, certificate written, key renamed, certificate renamed.
    let steps: [(Files<'_>, &Pair, Option<&Pair>); 5] = [
        (&[(KEY, &old.pair), (CERTIFICATE, &old.pair)], &old.pair, None),
        (&[(KEY, &old.pair), (CERTIFICATE, &old.pair), (NEW_KEY, &new)], &old.pair, None),
        (
            &[(KEY, &old.pair), (CERTIFICATE, &old.pair), (NEW_KEY, &new), (NEW_CERTIFICATE, &new)],
            &old.pair,
            Some(&new),
        ),
        (&[(KEY, &new), (CERTIFICATE, &old.pair), (NEW_CERTIFICATE, &new)], &new, None),
        (&[(KEY, &new), (CERTIFICATE, &new)], &new, None),
    ];
    for (at, (files, pair, pending)) in steps.into_iter().enumerate() {
        let state = tempfile::tempdir().unwrap();
        let folder = IdentityFolder::new(state.path(), WORKSPACE);
        folder.save(&old).unwrap();
        for name in [KEY, CERTIFICATE] {
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        for (name, of) in files {
            let text = if name.starts_with(KEY) { of.key.expose() } else { &of.certificate };
            fs::write(folder.path().join(name), text).unwrap();
        }
        for _ in 0..2 {
            assert_eq!(loaded(&folder), (pair.clone(), pending.cloned()), "step {at}");
        }
        folder.propose(&new).unwrap();
        folder.withdraw().unwrap();
        assert_eq!(loaded(&folder), (pair.clone(), None), "step {at}");
        folder.propose(&old.pair).unwrap();
        folder.commit().unwrap();
        assert_eq!(loaded(&folder), (old.pair.clone(), None), "step {at}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn wherever_the_power_is_cut_a_pair_that_belongs_together_is_left_and_the_new_one_after_a_commit() {
    let (first, second, third) = (identity().await, pair(1).await, pair(2).await);
    for chance in 0..40 {
        let state = tempfile::tempdir().unwrap();
        let folder = IdentityFolder::new(state.path(), WORKSPACE);
        let recording = crate::durable::double::record(state.path());
        folder.save(&first).unwrap();
        let saved = recording.done();
        folder.propose(&second).unwrap();
        let proposed = recording.done();
        folder.commit().unwrap();
        let committed = recording.done();
        folder.propose(&third).unwrap();
        let again = recording.done();
        folder.withdraw().unwrap();
        for after in 0..=recording.done() {
            let crashed = tempfile::tempdir().unwrap();
            recording.crash(after, chance, crashed.path());
            let found = IdentityFolder::new(crashed.path(), WORKSPACE).load();
            let found = found.unwrap_or_else(|error| panic!("{after} {chance}: {error}"));
            let found = found.map(|stored| (stored.identity.agent_id, stored.identity.pair, stored.pending));
            let of =
                |pair: &Pair, pending: Option<&Pair>| Some((first.agent_id, pair.clone(), pending.cloned()));
            let may_be = match after {
                _ if after < saved => vec![None, of(&first.pair, None)],
                _ if after == saved => vec![of(&first.pair, None)],
                _ if after < proposed => vec![of(&first.pair, None), of(&first.pair, Some(&second))],
                _ if after == proposed => vec![of(&first.pair, Some(&second))],
                _ if after < committed => vec![of(&first.pair, Some(&second)), of(&second, None)],
                _ if after == committed => vec![of(&second, None)],
                _ if after == again => vec![of(&second, Some(&third))],
                _ => vec![of(&second, None), of(&second, Some(&third))],
            };
            assert!(may_be.contains(&found), "{after} of {saved} {proposed} {committed} {again}, {chance}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let state = tempfile::tempdir().unwrap();
    let folder = IdentityFolder::new(state.path(), WORKSPACE);
    folder.save(&identity().await).unwrap();
    let error = |folder: &IdentityFolder| folder.load().expect_err("refused").to_string();
    fs::write(folder.path().join(KEY), "garbage").unwrap();
    assert!(error(&folder).contains(folder.path().to_str().unwrap()), "{}", error(&folder));
    for text in ["{", "{}", "\u{0}", &"x".repeat(100_000)] {
        fs::write(folder.path().join(IDENTITY), text).unwrap();
        assert!(error(&folder).contains("identity.json"), "{}", error(&folder));
    }
}

#[tokio::test]
async fn a_certificate_is_old_after_two_thirds_of_its_life() {
    let pair = make_pair(WORKSPACE, Uuid::new_v4()).await.unwrap();
    let (begins, ends) = pair.validity().unwrap();
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    assert_eq!(ends.duration_since(begins).unwrap(), days(365));
    for (age, old) in [(0, false), (240, false), (246, true), (364, true), (366, true)] {
        assert_eq!(pair.is_old(begins + days(age)), old, "{age}");
    }
    assert!(pair.is_old(SystemTime::UNIX_EPOCH + days(365 * 100)));
}
