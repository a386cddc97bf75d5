//! Revocation lists, which are enforced and fail closed (A12; smokescreen#293 shows a proxy that only
//! read them).

use std::time::UNIX_EPOCH;

use super::*;
use crate::config::ClientCertificatePolicy::Required;

#[tokio::test]
async fn a12_a_revoked_certificate_is_refused_and_others_are_not() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity =
        Identity::load(&folder.revoking(&authority, &authority.revocations(&[8]))).expect("is right");
    for version in rustls::ALL_VERSIONS {
        let met = |name, serial| {
            let shown = authority.client(name, serial);
            let config = client_of(&authority, Some(&shown), &[*version]);
            meet(&identity, config)
        };
        assert_eq!(met("site-8", 8).await.refused(), "certificate_revoked");
        assert_eq!(met("site-7", 7).await.names().expect("a certificate"), ["CN=site-7"]);
    }
}

#[tokio::test]
async fn a12_a_certificate_under_a_revoked_intermediate_is_refused() {
    let root = Authority::new("root CA");
    let (good, bad) = (root.intermediate("good CA", 100), root.intermediate("bad CA", 101));
    let folder = Folder::new(&root);
    let lists = root.revocations(&[101]) + &good.revocations(&[]) + &bad.revocations(&[]);
    let identity = Identity::load(&folder.revoking(&root, &lists)).expect("is right");
    let met = async |site: &Authority| {
        meet(&identity, client(&root, Some(&site.client("site-7", 7).under(site)))).await
    };
    assert_eq!(met(&bad).await.refused(), "certificate_revoked");
    assert_eq!(met(&good).await.names().expect("a certificate"), ["CN=site-7"]);
}

#[tokio::test]
async fn a12_an_issuer_without_a_list_is_refused_anywhere_in_the_chain() {
    let root = Authority::new("root CA");
    let site = root.intermediate("site CA", 100);
    let folder = Folder::new(&root);
    let shown = site.client("site-7", 7).under(&site);
    for lists in [root.revocations(&[]), site.revocations(&[])] {
        let identity = Identity::load(&folder.revoking(&root, &lists)).expect("is right");
        assert_eq!(meet(&identity, client(&root, Some(&shown))).await.refused(), "revocation_unknown");
    }
    let both = root.revocations(&[]) + &site.revocations(&[]);
    let identity = Identity::load(&folder.revoking(&root, &both)).expect("is right");
    assert!(meet(&identity, client(&root, Some(&shown))).await.names().is_some());
}

#[tokio::test]
async fn a12_an_expired_list_bars_every_certificate_and_stands_in_the_deadlines() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let settings = folder.revoking(&authority, &authority.revocations_between(&[], 2019, 2020));
    let identity = Identity::load(&settings).expect("is right, but late");
    let met = meet(&identity, client(&authority, Some(&authority.client("site-7", 7)))).await;
    assert_eq!(met.refused(), "revocation_list_expired");
    let expired: Vec<_> =
        identity.deadlines().into_iter().filter(|deadline| deadline.at < SystemTime::now()).collect();
    let expected = Deadline {
        file: folder.path().join("ca.crl"),
        what: Expiring::RevocationList,
        at: UNIX_EPOCH + Duration::from_secs(1_577_836_800),
    };
    assert_eq!(expired, [expected]);
}

#[tokio::test]
async fn a12_a_ca_without_a_list_is_believed_about_all_its_certificates() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.verifying(&authority, Required)).expect("is right");
    let met = meet(&identity, client(&authority, Some(&authority.client("site-8", 8)))).await;
    assert_eq!(met.names().expect("a certificate"), ["CN=site-8"]);
}

#[tokio::test]
async fn a12_a_list_that_another_ca_of_the_same_name_signed_bars_every_certificate() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let forged = Authority::new("site CA").revocations(&[]);
    let identity = Identity::load(&folder.revoking(&authority, &forged)).expect("cannot be told yet");
    let met = meet(&identity, client(&authority, Some(&authority.client("site-7", 7)))).await;
    assert_eq!(met.refused(), "revocation_list_unusable");
}

#[tokio::test]
async fn a12_the_newest_list_of_an_issuer_counts_wherever_it_stands_in_the_file() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let (old, new) =
        (authority.revocations_between(&[], 2020, 3000), authority.revocations_between(&[8], 2021, 3000));
    for lists in [old.clone() + &new, new + &old] {
        let identity = Identity::load(&folder.revoking(&authority, &lists)).expect("is right");
        let met = meet(&identity, client(&authority, Some(&authority.client("site-8", 8)))).await;
        assert_eq!(met.refused(), "certificate_revoked");
    }
}
