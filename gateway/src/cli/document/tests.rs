use super::*;

fn array(text: &str) -> Array {
    let document: DocumentMut = format!("a = {text}\n").parse().expect("toml");
    document.get("a").and_then(Item::as_array).expect("a list").clone()
}

fn added(text: &str) -> String {
    let mut array = array(text);
    push(&mut array, "new");
    array.to_string().trim().to_owned()
}

fn removed(text: &str, at: usize) -> String {
    let mut array = array(text);
    take_out(&mut array, at);
    array.to_string().trim().to_owned()
}

#[test]
fn a_value_is_added_in_the_style_of_the_list_and_no_comment_moves_to_another_value() {
    let cases = [
        ("[]", "[\"new\"]"),
        ("[\"a\"]", "[\"a\", \"new\"]"),
        ("[ \"a\" ]", "[ \"a\", \"new\"]"),
        ("[\n    \"a\",\n]", "[\n    \"a\",\n    \"new\",\n]"),
        ("[\n    \"a\"\n]", "[\n    \"a\",\n    \"new\",\n]"),
        ("[\n  \"a\", # of a\n  # below\n]", "[\n  \"a\", # of a\n  # below\n  \"new\",\n]"),
        ("[\n  \"a\" # of a\n]", "[\n  \"a\", # of a\n  \"new\",\n]"),
    ];
    for (before, after) in cases {
        assert_eq!(added(before), after, "{before}");
    }
}

#[test]
fn a_value_goes_with_the_comment_on_its_line_and_every_other_comment_stays() {
    let three = "[\n  # above a\n  \"a\", # of a\n  # above b\n  \"b\", # of b\n  \"c\", # of c\n]";
    let cases = [
        (three, 0, "[\n  # above a\n  # above b\n  \"b\", # of b\n  \"c\", # of c\n]"),
        (three, 1, "[\n  # above a\n  \"a\", # of a\n  # above b\n  \"c\", # of c\n]"),
        (three, 2, "[\n  # above a\n  \"a\", # of a\n  # above b\n  \"b\", # of b\n]"),
        ("[\"a\"]", 0, "[]"),
        ("[\"a\", \"b\"]", 0, "[\"b\"]"),
        ("[\"a\", \"b\"]", 1, "[\"a\"]"),
        ("[\n  \"a\",\n]", 0, "[]"),
        ("[\n  # kept\n  \"a\",\n]", 0, "[\n  # kept\n]"),
    ];
    for (before, at, after) in cases {
        assert_eq!(removed(before, at), after, "{before} without {at}");
        let whole = format!("a = {after}\n");
        assert!(whole.parse::<DocumentMut>().is_ok(), "{whole}");
    }
}
