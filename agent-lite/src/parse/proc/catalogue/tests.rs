use super::*;

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn chosen(object: &str, counters: &[&str]) -> Vec<&'static str> {
    let selection = Selection::new(object, &owned(counters), &[]).unwrap();
    let counters = selection.object().counters().iter().enumerate();
    counters.filter(|(at, _)| selection.has_counter(*at)).map(|(_, name)| *name).collect()
}

#[test]
fn a_star_is_every_counter_and_case_does_not_matter() {
    for object in Object::ALL {
        assert_eq!(chosen(&object.name().to_uppercase(), &["*"]), object.counters());
        for counter in object.counters() {
            assert_eq!(chosen(object.name(), &[&counter.to_lowercase()]), [*counter]);
        }
    }
    assert_eq!(
        chosen("Memory", &["% used*", "pages/sec"]),
        ["% Used Memory", "Pages/sec", "% Used Swap Space"]
    );
}

#[test]
fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
    let error = |object: &str, counters: &[&str]| {
        Selection::new(object, &owned(counters), &[]).unwrap_err().to_string()
    };
    let object = error("Processors", &["*"]);
    assert!(object.starts_with("`Processors` is no performance object"), "{object}");
    assert!(Object::ALL.iter().all(|known| object.contains(known.name())), "{object}");
    let counter = error("physical disk", &["*", "% Idle Time"]);
    assert!(counter.starts_with("`% Idle Time` is no counter of Physical Disk"), "{counter}");
    assert!(counter.contains("`Avg. Disk sec/Write`"), "{counter}");
    assert!(error("Process", &[]).starts_with("Process has no counters here"));
}

#[test]
fn instances_are_chosen_by_patterns() {
    let cases = [
        (&["*"][..], "/var", true),
        (&[][..], "/var", true),
        (&["/var"][..], "/var", true),
        (&["/var"][..], "/Var", false),
        (&["/var"][..], "/var/log", false),
        (&["/v*/l*g"][..], "/var/log", true),
        (&["/v*/l*g"][..], "/var/logs", false),
        (&["a*a"][..], "a", false),
        (&["*a*b*"][..], "xxbxa", false),
        (&["**"][..], "", true),
        (&["eth*", "_Total"][..], "_Total", true),
        (&["eth*", "_Total"][..], "lo", false),
    ];
    for (patterns, name, expected) in cases {
        let selection = Selection::new("Network", &owned(&["*"]), &owned(patterns)).unwrap();
        assert_eq!(selection.has_instance(name), expected, "{patterns:?} {name}");
    }
}

#[test]
fn a_place_beyond_the_counters_is_not_chosen() {
    let selection = Selection::new("System", &owned(&["*"]), &[]).unwrap();
    assert!(!selection.has_counter(7) && !selection.has_counter(16) && !selection.has_counter(usize::MAX));
}

#[test]
fn the_defaults_are_those_of_the_legacy_agents_documentation() {
    let seconds: Vec<_> =
        defaults().into_iter().map(|(object, every)| (object.name(), every.as_secs())).collect();
    let expected = [("Processor", 30), ("Memory", 30), ("Logical Disk", 300), ("Physical Disk", 300)];
    assert_eq!(seconds, expected);
}
