use super::*;

#[test]
fn a_file_of_authorities_that_cannot_be_used_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let nothing = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let files = [
        folder.path().join("missing.pem"),
        write("empty.pem", "text\n"),
        write("unusable.pem", nothing),
        write("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n"),
    ];
    for file in files {
        let error = Roots::load(Some(&file)).expect_err("refused").to_string();
        assert!(error.starts_with(&file.display().to_string()), "{error}");
    }
}
