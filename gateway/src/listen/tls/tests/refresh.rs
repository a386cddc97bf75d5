//! Files that change under an open listener.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::config::ClientCertificatePolicy::Required;

#[tokio::test]
async fn a_changed_certificate_is_used_for_the_next_handshake_and_an_open_connection_goes_on() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let folder = Folder::new(&before);
    let identity = Identity::load(&folder.settings()).expect("is right");
    let open = meet(&identity, client(&before, None)).await;
    assert!(matches!(identity.refresh(), Refreshed::Unchanged));

    folder.renew(&after);
    assert!(matches!(identity.refresh(), Refreshed::Taken));
    assert!(matches!(identity.refresh(), Refreshed::Unchanged));
    assert!(meet(&identity, client(&after, None)).await.names().is_none());
    assert!(meet(&identity, client(&before, None)).await.client.is_err(), "the old certificate is shown");

    let (mut server, mut client) = (open.server.expect("open"), open.client.expect("open"));
    client.write_all(b"still here").await.expect("is carried");
    let mut read = [0; 10];
    server.read_exact(&mut read).await.expect("arrives");
    assert_eq!(&read, b"still here");
}

#[tokio::test]
async fn wrong_files_keep_the_ones_before_and_are_complained_about_once() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let settings = folder.revoking(&authority, &authority.revocations(&[8]));
    let identity = Identity::load(&settings).expect("is right");
    let other_key = authority.client("other", 1).key_pem();
    let half = authority.revocations(&[8, 9]);
    let half = half.get(..half.len() / 2).expect("half a file");
    let breaks = [
        ("gw.crt", "", "gw.crt: there is no certificate"),
        ("gw.key", other_key.as_str(), "gw.key is not this certificate's"),
        ("ca.crl", half, "ca.crl: is cut off"),
        ("ca.crl", "", "ca.crl: there is no revocation list"),
        ("ca.crt", "", "ca.crt: there is no certificate"),
    ];
    for (name, text, complaint) in breaks {
        let right = fs::read(folder.path().join(name)).expect("the file");
        folder.write(name, text);
        match identity.refresh() {
            Refreshed::Kept(error) => assert!(error.to_string().contains(complaint), "{error}"),
            other => panic!("{name}: {other:?}"),
        }
        assert!(matches!(identity.refresh(), Refreshed::Unchanged), "{name}");
        let met = |serial| meet(&identity, client(&authority, Some(&authority.client("site", serial))));
        assert!(met(7).await.names().is_some(), "{name}");
        assert_eq!(met(8).await.refused(), "certificate_revoked", "{name}");
        folder.write(name, right);
        assert!(matches!(identity.refresh(), Refreshed::Taken), "{name}");
    }
    fs::remove_file(folder.path().join("ca.crl")).expect("is there");
    assert!(matches!(identity.refresh(), Refreshed::Kept(TlsError::Unreadable { .. })));
}

#[tokio::test]
async fn a_swapped_folder_link_counts_as_a_change() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let (first, second) = (Folder::new(&before), Folder::new(&after));
    let mount = tempfile::tempdir().expect("a folder");
    let link = |target: &Folder| {
        let new = mount.path().join("..data_tmp");
        symlink(target.path(), &new).expect("a link");
        fs::rename(new, mount.path().join("..data")).expect("a swap");
    };
    link(&first);
    for name in ["gw.crt", "gw.key"] {
        symlink(format!("..data/{name}"), mount.path().join(name)).expect("a link");
    }
    let settings = Tls {
        certificate: mount.path().join("gw.crt"),
        key: mount.path().join("gw.key"),
        ..first.settings()
    };
    let identity = Identity::load(&settings).expect("is right");
    assert!(meet(&identity, client(&before, None)).await.names().is_none());
    link(&second);
    assert!(matches!(identity.refresh(), Refreshed::Taken));
    assert!(meet(&identity, client(&after, None)).await.names().is_none());
}

#[tokio::test]
async fn a_revocation_ends_what_the_client_could_resume() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity =
        Identity::load(&folder.revoking(&authority, &authority.revocations(&[]))).expect("is right");
    let shown = authority.client("site-8", 8);
    for version in rustls::ALL_VERSIONS {
        let returning = Arc::new(client_of(&authority, Some(&shown), &[*version]));
        folder.write("ca.crl", authority.revocations(&[]));
        identity.refresh();
        for _ in 0..2 {
            let met = meet(&identity, Arc::clone(&returning)).await;
            assert!(met.names().is_some());
            let (_, session) = met.client.as_ref().expect("a session").get_ref();
            assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full), "{version:?}");
        }
        folder.write("ca.crl", authority.revocations(&[8]));
        assert!(matches!(identity.refresh(), Refreshed::Taken));
        assert_eq!(meet(&identity, returning).await.refused(), "certificate_revoked", "{version:?}");
    }
}

#[tokio::test]
async fn clients_without_certificates_resume_until_the_files_change() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.settings()).expect("is right");
    let kind = async |config: &Arc<ClientConfig>| {
        let met = meet(&identity, Arc::clone(config)).await;
        let (_, session) = met.client.as_ref().expect("a session").get_ref();
        session.handshake_kind().expect("is done")
    };
    let returning = Arc::new(client(&authority, None));
    assert_eq!(kind(&returning).await, rustls::HandshakeKind::Full);
    assert_eq!(kind(&returning).await, rustls::HandshakeKind::Resumed);
    folder.renew(&authority);
    assert!(matches!(identity.refresh(), Refreshed::Taken));
    assert_eq!(kind(&returning).await, rustls::HandshakeKind::Full);
}

/// Sessions that were kept here would be pushed out by those of others.
#[tokio::test]
async fn a_client_resumes_however_many_others_came_since() {
    const OTHERS: usize = 300;
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.settings()).expect("is right");
    for version in rustls::ALL_VERSIONS {
        let one_of_them = || Arc::new(client_of(&authority, None, &[*version]));
        let returning = one_of_them();
        meet(&identity, Arc::clone(&returning)).await;
        for _ in 0..OTHERS {
            meet(&identity, one_of_them()).await;
        }
        let met = meet(&identity, returning).await;
        let (_, session) = met.client.as_ref().expect("a session").get_ref();
        assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Resumed), "{version:?}");
    }
}

#[tokio::test]
async fn another_ca_is_believed_from_the_next_handshake_on() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let folder = Folder::new(&before);
    let identity = Identity::load(&folder.verifying(&before, Required)).expect("is right");
    folder.write("ca.crt", after.pem());
    assert!(matches!(identity.refresh(), Refreshed::Taken));
    let mut config = client(&before, None);
    config.client_auth_cert_resolver = super::clients::always(&after.client("site-7", 7));
    assert!(meet(&identity, config).await.names().is_some());
    let mut config = client(&before, None);
    config.client_auth_cert_resolver = super::clients::always(&before.client("site-7", 7));
    assert_eq!(meet(&identity, config).await.refused(), "certificate_issuer_unknown");
}
