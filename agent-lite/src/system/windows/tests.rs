use super::*;

#[test]
fn a_pattern_begins_at_a_drive_or_a_share() {
    let cases = [
        (r"C:\Logs\*.log", Some((r"C:\", r"Logs\*.log"))),
        ("d:/logs/**/a.log", Some((r"D:\", "logs/**/a.log"))),
        (r"\\server\share\a\*.log", Some((r"\\server\share\", r"a\*.log"))),
        (r"\\server\share", None),
        (r"\\?\C:\a.log", None),
        (r"\\.\pipe\a", None),
        (r"C:a.log", None),
        (r"\a.log", None),
        ("/var/log/a.log", None),
        ("a.log", None),
    ];
    for (pattern, expected) in cases {
        let expected = expected.map(|(root, rest)| (PathBuf::from(root), rest));
        assert_eq!(split_pattern(pattern), expected, "{pattern}");
    }
}

#[test]
fn a_secret_is_sealed_on_the_disk_and_read_back() {
    let sealed = sealed(&Secret::new("the key".to_owned())).unwrap();
    assert!(!sealed.expose().contains("the key"));
    assert_eq!(unsealed(sealed.expose().to_owned()).unwrap(), "the key");
    assert_eq!(unsealed("never sealed".to_owned()).unwrap(), "never sealed");
    let damaged = sealed.expose().replace("\r\n", "\r\nAA");
    assert!(unsealed(damaged).unwrap_err().to_string().contains("anew"));
}

#[test]
fn a_file_is_cut_and_written_on_and_read_at_any_place() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let file = create_to_append(&path).unwrap();
    (&file).write_all(b"0123456789").unwrap();
    truncate(&file, 4).unwrap();
    (&file).write_all(b"x").unwrap();
    file.sync_data().unwrap();
    let open = File::open(&path).unwrap();
    let mut bytes = [0; 8];
    assert_eq!(read_at(&open, &mut bytes, 0).unwrap(), 5);
    assert_eq!(&bytes[..5], b"0123x");
    assert_eq!(read_at(&open, &mut bytes, 5).unwrap(), 0);
    assert_eq!(read_at(&open, &mut bytes, 500).unwrap(), 0);
    assert!(read_exact_at(&open, &mut bytes, 0).is_err());
    read_exact_at(&open, &mut bytes[..2], 3).unwrap();
    assert_eq!(&bytes[..2], b"3x");
    assert!(create_to_append(&path).is_err());
}
