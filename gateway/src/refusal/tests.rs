use super::*;
use std::collections::BTreeSet;

#[test]
fn every_refusal_has_a_label_of_its_own_and_an_error_status() {
    let mut labels = BTreeSet::new();
    for refusal in Refusal::every() {
        let row = refusal.row();
        assert!(labels.insert(row.reason), "{} stands twice", row.reason);
        assert!((400..=599).contains(&row.status), "{row:?}");
    }
}

#[test]
fn policy_denials_are_403_and_never_ask_for_a_password() {
    for refusal in Refusal::every() {
        let row = refusal.row();
        assert_eq!(row.fault == Fault::Policy, row.status == 403, "{row:?}");
        assert_eq!(row.event == events::CREDENTIALS, row.status == 407, "{row:?}");
    }
}
