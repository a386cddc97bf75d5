use super::*;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::prop_assert;
use proptest::prop_assert_eq;
use proptest::proptest;

const FEW: Settings = Settings { setups: 2, waiting: 8, wait: Duration::from_secs(10) };

fn client(name: usize) -> ClientKey {
    ClientKey::User(name.to_string().into())
}

/// A room in which every set-up is taken by somebody else.
fn busy(waiting: u32) -> Room {
    let mut room = Room::new(Settings { setups: 1, waiting, ..FEW });
    assert_eq!(room.arrive(&client(999), Urgency::Bulk), Arrival::Begins);
    room
}

fn waits(room: &mut Room, name: usize, urgency: Urgency) -> Ticket {
    match room.arrive(&client(name), urgency) {
        Arrival::Waits(ticket, None) => ticket,
        other => panic!("{name}: {other:?}"),
    }
}

/// Ends one set-up after the other, and returns the order in which those that wait begin.
fn order(room: &mut Room, of: &[(Ticket, &'static str)]) -> Vec<&'static str> {
    let mut begun = Vec::new();
    loop {
        room.end();
        let Some(ticket) = room.next() else { return begun };
        begun.push(of.iter().find(|(known, _)| *known == ticket).expect("one that waits").1);
    }
}

#[test]
fn as_many_begin_at_once_as_may_and_the_rest_wait_in_the_order_of_arrival() {
    let mut room = Room::new(FEW);
    assert_eq!(room.arrive(&client(1), Urgency::Bulk), Arrival::Begins);
    assert_eq!(room.arrive(&client(1), Urgency::Control), Arrival::Begins);
    let (first, second) = (waits(&mut room, 1, Urgency::Bulk), waits(&mut room, 1, Urgency::Bulk));
    assert_eq!((room.in_progress(), room.waiting(), room.next()), (2, 2, None));
    room.end();
    assert_eq!((room.next(), room.next()), (Some(first), None));
    room.end();
    assert_eq!((room.next(), room.waiting(), room.in_progress()), (Some(second), 0, 2));
}

#[test]
fn one_client_with_many_requests_has_one_turn_in_a_round() {
    let mut room = busy(100);
    let mut all: Vec<_> = (0..5).map(|_| (waits(&mut room, 1, Urgency::Bulk), "greedy")).collect();
    all.push((waits(&mut room, 2, Urgency::Bulk), "ann"));
    all.push((waits(&mut room, 3, Urgency::Bulk), "bob"));
    all.push((waits(&mut room, 2, Urgency::Bulk), "ann"));
    let expected = ["greedy", "ann", "bob", "greedy", "ann", "greedy", "greedy", "greedy"];
    assert_eq!(order(&mut room, &all), expected);
}

#[test]
fn control_comes_first_and_bulk_has_every_fourth_turn() {
    let mut room = busy(100);
    let mut all: Vec<_> = (0..4).map(|name| (waits(&mut room, name, Urgency::Bulk), "bulk")).collect();
    all.extend((0..7).map(|name| (waits(&mut room, name, Urgency::Control), "control")));
    let round = ["control", "control", "control", "bulk"];
    let expected = [&round[..], &round, &["control", "bulk", "bulk"]].concat();
    assert_eq!(order(&mut room, &all), expected);
}

#[test]
fn who_leaves_frees_its_place_and_is_not_called() {
    let mut room = busy(2);
    let (gone, stays) = (waits(&mut room, 1, Urgency::Bulk), waits(&mut room, 2, Urgency::Bulk));
    assert_eq!(room.arrive(&client(3), Urgency::Bulk), Arrival::TurnedAway);
    assert!(room.leave(gone) && !room.leave(gone));
    let late = waits(&mut room, 3, Urgency::Bulk);
    assert_eq!(order(&mut room, &[(stays, "stays"), (late, "late")]), ["stays", "late"]);
}

#[test]
fn in_a_full_room_the_greediest_client_gives_up_its_newest_place_to_one_that_has_fewer() {
    let mut room = busy(4);
    let greedy: Vec<_> = (0..3).map(|_| waits(&mut room, 1, Urgency::Bulk)).collect();
    waits(&mut room, 2, Urgency::Bulk);
    let arrival = room.arrive(&client(3), Urgency::Bulk);
    assert!(matches!(arrival, Arrival::Waits(_, Some(given)) if given == greedy[2]), "{arrival:?}");
    assert_eq!(room.waiting(), 4);
    assert_eq!(room.arrive(&client(2), Urgency::Bulk), Arrival::TurnedAway, "it would have as many");
    assert_eq!(room.arrive(&client(1), Urgency::Bulk), Arrival::TurnedAway);
    let arrival = room.arrive(&client(4), Urgency::Bulk);
    assert!(matches!(arrival, Arrival::Waits(_, Some(given)) if given == greedy[1]), "{arrival:?}");
    assert_eq!(room.arrive(&client(5), Urgency::Bulk), Arrival::TurnedAway, "all have one");
}

#[test]
fn in_a_full_room_control_has_three_quarters_and_bulk_one_and_neither_pushes_the_other_out_of_them() {
    let mut room = busy(8);
    (0..8).for_each(|name| assert!(waits(&mut room, name, Urgency::Bulk) > Ticket(0)));
    for name in 0..6 {
        let arrival = room.arrive(&client(name), Urgency::Control);
        assert!(matches!(arrival, Arrival::Waits(_, Some(_))), "{name} {arrival:?}");
    }
    assert_eq!(room.arrive(&client(7), Urgency::Control), Arrival::TurnedAway);
    assert_eq!((room.waiting_of(Urgency::Control), room.waiting_of(Urgency::Bulk)), (6, 2));
    let mut room = busy(8);
    (0..8).for_each(|name| assert!(waits(&mut room, name, Urgency::Control) > Ticket(0)));
    for name in 0..2 {
        assert!(matches!(room.arrive(&client(name), Urgency::Bulk), Arrival::Waits(_, Some(_))));
    }
    assert_eq!(room.arrive(&client(7), Urgency::Bulk), Arrival::TurnedAway);
}

#[test]
fn a_change_of_the_numbers_turns_nobody_away_and_lets_more_begin() {
    let mut room = busy(3);
    let waiting: Vec<_> = (0..3).map(|name| waits(&mut room, name, Urgency::Bulk)).collect();
    room.set(Settings { setups: 3, waiting: 1, ..FEW });
    assert_eq!(room.next(), Some(waiting[0]));
    assert_eq!((room.next(), room.next()), (Some(waiting[1]), None));
    assert_eq!(room.waiting(), 1);
    assert_eq!(room.arrive(&client(5), Urgency::Bulk), Arrival::TurnedAway);
}

#[test]
fn those_turned_away_are_told_to_come_back_between_one_wait_and_three() {
    let told: BTreeSet<Duration> = (0..5000).map(|random| FEW.retry_after(random)).collect();
    assert!(told.len() > 500, "{} different times", told.len());
    assert!(told.iter().all(|time| (FEW.wait..FEW.wait * 3).contains(time)));
}

proptest! {
    /// Whatever comes, goes and ends: numbers hold, nobody is called twice or after it left, nobody is
    /// forgotten, and bulk is never passed over more than three times in a row.
    #[test]
    fn whatever_happens_the_numbers_hold_and_nobody_is_forgotten(
        steps in vec((0..5_u8, 0..6_usize, any::<bool>()), 0..400),
        setups in 1..4_u32,
        waiting in 1..9_u32,
    ) {
        let mut room = Room::new(Settings { setups, waiting, ..FEW });
        let mut here: BTreeMap<Ticket, Urgency> = BTreeMap::new();
        let (mut running, mut passed_over) = (0, 0);
        for (step, name, control) in steps {
            let urgency = if control { Urgency::Control } else { Urgency::Bulk };
            match step {
                0..=2 => match room.arrive(&client(name), urgency) {
                    Arrival::Begins => running += 1,
                    Arrival::Waits(ticket, given) => {
                        if let Some(given) = given {
                            prop_assert!(here.remove(&given).is_some());
                        }
                        prop_assert!(here.insert(ticket, urgency).is_none());
                    }
                    Arrival::TurnedAway => prop_assert_eq!(here.len(), waiting as usize),
                },
                3 => {
                    if let Some((ticket, _)) = here.pop_first() {
                        prop_assert!(room.leave(ticket));
                    }
                }
                _ if running == 0 => {}
                _ => {
                    room.end();
                    running -= 1;
                    let bulk_waits = here.values().any(|urgency| *urgency == Urgency::Bulk);
                    let called = room.next();
                    prop_assert_eq!(called.is_some(), !here.is_empty());
                    if let Some(ticket) = called {
                        let urgency = here.remove(&ticket);
                        prop_assert!(urgency.is_some());
                        running += 1;
                        passed_over += u32::from(urgency == Some(Urgency::Control));
                        passed_over *= u32::from(urgency == Some(Urgency::Control));
                        prop_assert!(passed_over <= CONTROL_TO_BULK || !bulk_waits);
                    }
                }
            }
            if here.values().all(|urgency| *urgency == Urgency::Control) {
                passed_over = 0;
            }
            prop_assert_eq!(room.in_progress(), running);
            prop_assert!(running <= setups);
            prop_assert_eq!(room.waiting(), here.len());
            prop_assert!(here.len() <= waiting as usize);
            let counted = Urgency::ALL.map(|urgency| room.waiting_of(urgency)).iter().sum::<usize>();
            prop_assert_eq!(counted, here.len());
        }
        while let Some((ticket, _)) = here.pop_first() {
            prop_assert!(room.leave(ticket));
        }
        prop_assert!(room.control.clients.is_empty() && room.bulk.turns.is_empty() && room.bulk.sizes.is_empty());
    }

    /// With any crowd that waits, every client has had its first turn of a lane before any has its second.
    #[test]
    fn nobody_has_a_second_turn_before_everybody_had_the_first(names in vec(0..12_usize, 1..200)) {
        let mut room = busy(1000);
        let held: BTreeMap<Ticket, usize> = names.iter().map(|name| (waits(&mut room, *name, Urgency::Bulk), *name)).collect();
        let clients = names.iter().collect::<BTreeSet<_>>().len();
        let mut first = BTreeSet::new();
        for _ in 0..clients {
            room.end();
            first.insert(held[&room.next().expect("somebody waits")]);
        }
        prop_assert_eq!(first.len(), clients);
    }
}
