use super::*;

/// `F` firmware, `N` network, `D` disk, `I` instance, `M` machine-id, `S` file system.
fn parts(text: &str, machine: &str) -> Parts {
    let mut parts = Parts::default();
    for letter in text.chars() {
        let part = match letter {
            'F' => Part::Firmware,
            'N' => Part::Network,
            'D' => Part::Disk,
            'I' => Part::Instance,
            'M' => Part::MachineId,
            'S' => Part::FileSystem,
            other => panic!("{other}"),
        };
        parts.add(part, &format!("{letter}-of-{machine}"));
    }
    parts
}

/// Some parts of the first machine and some of another one.
fn mixed(old: &str, new: &str) -> Parts {
    let mut all = parts(old, "first");
    all.0.append(&mut parts(new, "second").0);
    all
}

fn seal(parts: &Parts) -> Seal {
    Seal::new(&[7; SALT], parts)
}

#[test]
fn a_machine_is_told_from_its_clones_by_its_hardware() {
    // What was sealed; what is the same now; what is another now; whether it is the same machine.
    let cases = [
        // Nothing has changed; parts that cannot be read any more, or could not before, count for nothing.
        ("FNDIMS", "FNDIMS", "", true),
        ("FNDIMS", "N", "", true),
        ("N", "N", "FDIMS", true),
        ("", "", "FNDIMS", true),
        ("FNDIMS", "", "", true),
        // One thing alone, whatever else can be read.
        ("FNDIMS", "FDIMS", "N", true),
        ("FNDMS", "FDMS", "N", true),
        ("NDMS", "DMS", "N", true),
        ("FNMS", "FMS", "N", true),
        ("NMS", "MS", "N", true),
        ("FNDMS", "FNMS", "D", true),
        ("NDMS", "NMS", "D", true),
        ("DMS", "MS", "D", true),
        ("FNDMS", "FNDS", "M", true),
        // A new disk with a new system on it, and the agent's state brought back.
        ("FNDMS", "FN", "DMS", true),
        ("NDMS", "N", "DMS", true),
        // A new board with a card on it: the disk has moved.
        ("FNDMS", "DMS", "FN", true),
        ("FNDIMS", "DMS", "FNI", true),
        // Clones: an image on other hardware, with and without a new machine-id.
        ("FNDIMS", "MS", "FNDI", false),
        ("FNDMS", "MS", "FND", false),
        ("FNDMS", "S", "FNDM", false),
        ("FNDMS", "", "FNDMS", false),
        ("FNMS", "MS", "FN", false),
        ("NDMS", "MS", "ND", false),
        ("FMS", "MS", "F", false),
        ("IMS", "MS", "I", false),
        // The state folder alone, brought to another machine.
        ("NMS", "", "NMS", false),
        ("NMS", "S", "NM", false),
        ("DMS", "", "DMS", false),
        ("MS", "", "MS", false),
        // A firmware's number that a whole series has does not make them one machine.
        ("FNDMS", "FMS", "ND", false),
        // No hardware can be read: one part of the system is enough.
        ("MS", "M", "S", true),
        ("MS", "S", "M", true),
        ("M", "", "M", false),
    ];
    for (sealed, same, different, expected) in cases {
        let judgement = seal(&parts(sealed, "first")).judge(&mixed(same, different));
        let found = judgement.machine == Machine::TheSame;
        assert_eq!(found, expected, "sealed {sealed}, same {same}, different {different}: {judgement:?}");
    }
}

#[test]
fn one_card_or_disk_of_several_is_enough_for_its_part() {
    let mut before = parts("FND", "first");
    before.add(Part::Network, "00:15:5d:00:00:02");
    let mut after = parts("F", "first");
    after.add(Part::Network, "00:15:5D:00:00:02\n");
    after.add(Part::Network, "00:15:5d:00:00:03");
    let judgement = seal(&before).judge(&after);
    assert_eq!((judgement.same, judgement.different), (vec![Part::Firmware, Part::Network], vec![]));
}

#[test]
fn what_is_replaced_by_and_by_is_sealed_anew_and_never_a_clone() {
    let mut seal = seal(&parts("FNDMS", "first"));
    for (old, new) in [("FDMS", "N"), ("FMS", "ND"), ("MS", "FND"), ("S", "FNDM"), ("", "FNDMS")] {
        let now = mixed(old, new);
        assert_eq!(seal.judge(&now).machine, Machine::TheSame, "{old} {new}");
        seal = seal.renewed(&now);
    }
    assert_eq!(seal.judge(&parts("FNDMS", "first")).machine, Machine::Another);
}

#[test]
fn a_part_that_cannot_be_read_now_stays_sealed() {
    let seal = seal(&parts("FNMS", "first")).renewed(&parts("MS", "first"));
    assert_eq!(seal.known().count(), 4);
    assert_eq!(seal.judge(&parts("FNMS", "second")).machine, Machine::Another);
}

#[test]
fn numbers_that_many_machines_have_are_nobodys() {
    for value in [
        "",
        "   \n",
        "0",
        "None",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "03000200-0400-0500-0006-000700080009",
        "To Be Filled By O.E.M.",
        "Default string",
        "Not Specified",
        "System Serial Number",
        "QM00001",
        "t10.ATA     QEMU HARDDISK                           QM00001",
        "00:00:00:00:00:00",
        "iid-datasource-none",
        "uninitialized",
        "123",
        &"ab1".repeat(100),
    ] {
        let mut parts = Parts::default();
        parts.add(Part::Firmware, value);
        assert!(!parts.has(Part::Firmware), "{value}");
    }
    let mut parts = Parts::default();
    (0..1000).for_each(|number| parts.add(Part::Disk, &format!("disk-{number}")));
    assert_eq!(parts.0[&Part::Disk].len(), MOST_VALUES);
}

#[test]
fn a_seal_is_read_back_shows_no_number_and_two_salts_make_two_of_them() {
    let parts = parts("FNDIMS", "first");
    let text = serde_json::to_string(&seal(&parts)).unwrap();
    assert!(!text.contains("first") && !format!("{parts:?}").contains("first"), "{text}");
    assert_eq!(Seal::parse(&text).unwrap(), seal(&parts));
    assert_eq!(seal(&parts).parts, seal(&parts).parts);
    let other = Seal::new(&[8; SALT], &parts);
    assert!(other.parts.values().zip(seal(&parts).parts.values()).all(|(a, b)| a.is_disjoint(b)));
    for wrong in
        ["", "{}", &text.replace("\"version\":1", "\"version\":2"), &text.replace("salt\":\"", "salt\":\"!")]
    {
        assert!(Seal::parse(wrong).is_err(), "{wrong}");
    }
}
