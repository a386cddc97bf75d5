//! Completions and manual pages, made from the arguments.

use crate::cast::Folder;

#[test]
fn completions_know_every_command_in_every_shell() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let done = folder.run(&["completions", shell]);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{shell}");
        assert!(!done.out.contains("launcher"), "{shell} offers what is hidden");
        for word in ["import-oms", "suggest", "hosts", "bundles", "apply"] {
            assert!(done.out.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn there_is_a_manual_page_for_the_program_and_for_each_command() {
    let folder = Folder::new();
    let page = folder.run(&["man"]).out;
    assert!(page.contains(".TH la-gateway 1") && page.contains("import\\-oms"), "{page}");
    let done = folder.run(&["man", "--out", "pages"]);
    assert_eq!(done.code, 0, "{}", done.err);
    for page in ["la-gateway.1", "la-gateway-hosts-add.1", "la-gateway-suggest.1"] {
        let text = folder.read(&format!("pages/{page}"));
        assert!(!text.contains("\\-help(1)"), "a page that is not made: {text}");
        assert!(text.contains(&format!(".TH {} 1", page.trim_end_matches(".1"))), "{text}");
    }
}
