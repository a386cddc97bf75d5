use super::*;

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::prop_assert;
use proptest::prop_assert_eq;
use proptest::proptest;

const FEW: Settings = Settings { setups: 2, setups_per_client: 9, waiting: 8, wait: Duration::from_secs(10) };

fn client(name: usize) -> ClientKey {
    ClientKey::User(name.to_string().into())
}

/// A room whose only set-up is taken by somebody else, with its ticket.
fn busy(waiting: u32) -> (Room, Ticket) {
    let mut room = Room::new(Settings { setups: 1, waiting, ..FEW });
    let running = begins(&mut room, 999, Urgency::Bulk);
    (room, running)
}

fn begins(room: &mut Room, name: usize, urgency: Urgency) -> Ticket {
    match room.arrive(&client(name), urgency) {
        Arrival::Begins(ticket) => ticket,
        other => panic!("{name}: {other:?}"),
    }
}

fn waits(room: &mut Room, name: usize, urgency: Urgency) -> Ticket {
    match room.arrive(&client(name), urgency) {
        Arrival::Waits(ticket, None) => ticket,
        other => panic!("{name}: {other:?}"),
    }
}

/// Ends one set-up after the other, and returns the order in which those that wait begin.
fn order(room: &mut Room, mut running: Ticket, of: &[(Ticket, &'static str)]) -> Vec<&'static str> {
    let mut begun = Vec::new();
    loop {
        room.end(running);
        let Some(ticket) = room.begin_next() else { return begun };
        begun.push(of.iter().find(|(known, _)| *known == ticket).expect("one that waits").1);
        running = ticket;
    }
}

#[test]
fn as_many_begin_at_once_as_may_and_the_rest_wait_in_the_order_of_arrival() {
    let mut room = Room::new(FEW);
    let running = [begins(&mut room, 1, Urgency::Bulk), begins(&mut room, 1, Urgency::Control)];
    let waiting = [waits(&mut room, 1, Urgency::Bulk), waits(&mut room, 1, Urgency::Bulk)];
    assert_eq!((room.in_progress(), room.waiting(), room.begin_next()), (2, 2, None));
    for (ended, next) in running.into_iter().zip(waiting) {
        room.end(ended);
        assert_eq!((room.begin_next(), room.begin_next()), (Some(next), None));
    }
    assert_eq!((room.waiting(), room.in_progress()), (0, 2));
    room.end(running[0]);
    assert_eq!(room.in_progress(), 2, "what has ended does not end again");
}

#[test]
fn one_client_with_many_requests_has_one_turn_in_a_round() {
    let (mut room, running) = busy(100);
    let mut all: Vec<_> = (0..5).map(|_| (waits(&mut room, 1, Urgency::Bulk), "greedy")).collect();
    all.push((waits(&mut room, 2, Urgency::Bulk), "ann"));
    all.push((waits(&mut room, 3, Urgency::Bulk), "bob"));
    all.push((waits(&mut room, 2, Urgency::Bulk), "ann"));
    let expected = ["greedy", "ann", "bob", "greedy", "ann", "greedy", "greedy", "greedy"];
    assert_eq!(order(&mut room, running, &all), expected);
}

#[test]
fn control_comes_first_and_bulk_has_every_fourth_turn() {
    let (mut room, running) = busy(100);
    let mut all: Vec<_> = (0..4).map(|name| (waits(&mut room, name, Urgency::Bulk), "bulk")).collect();
    all.extend((0..7).map(|name| (waits(&mut room, name, Urgency::Control), "control")));
    let round = ["control", "control", "control", "bulk"];
    let expected = [&round[..], &round, &["control", "bulk", "bulk"]].concat();
    assert_eq!(order(&mut room, running, &all), expected);
}

#[test]
fn a_client_has_no_more_set_ups_than_its_share_and_is_passed_over_meanwhile() {
    let mut room = Room::new(Settings { setups: 4, setups_per_client: 2, ..FEW });
    let slow = [begins(&mut room, 1, Urgency::Bulk), begins(&mut room, 1, Urgency::Control)];
    let greedy = waits(&mut room, 1, Urgency::Bulk);
    let other = begins(&mut room, 2, Urgency::Bulk);
    room.end(other);
    assert_eq!((room.begin_next(), room.in_progress()), (None, 2), "its share is taken");
    begins(&mut room, 2, Urgency::Bulk);
    room.end(slow[0]);
    assert_eq!(room.begin_next(), Some(greedy));
}

#[test]
fn neither_control_nor_bulk_can_take_every_set_up() {
    for (all, other) in [(Urgency::Bulk, Urgency::Control), (Urgency::Control, Urgency::Bulk)] {
        let mut room = Room::new(Settings { setups: 8, ..FEW });
        (0..6).for_each(|name| assert!(begins(&mut room, name, all) > Ticket(0)));
        waits(&mut room, 6, all);
        begins(&mut room, 7, other);
        begins(&mut room, 8, other);
        waits(&mut room, 9, other);
    }
}

#[test]
fn who_leaves_frees_its_place_and_is_not_called() {
    let (mut room, running) = busy(2);
    let (gone, stays) = (waits(&mut room, 1, Urgency::Bulk), waits(&mut room, 2, Urgency::Bulk));
    assert_eq!(room.arrive(&client(3), Urgency::Bulk), Arrival::TurnedAway);
    assert!(room.leave(gone) && !room.leave(gone));
    let late = waits(&mut room, 3, Urgency::Bulk);
    assert_eq!(order(&mut room, running, &[(stays, "stays"), (late, "late")]), ["stays", "late"]);
}

#[test]
fn in_a_full_room_the_greediest_client_gives_up_its_newest_place_to_one_that_has_fewer() {
    let (mut room, _running) = busy(4);
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
    let (mut room, _running) = busy(8);
    (0..8).for_each(|name| assert!(waits(&mut room, name, Urgency::Bulk) > Ticket(0)));
    for name in 0..6 {
        let arrival = room.arrive(&client(name), Urgency::Control);
        assert!(matches!(arrival, Arrival::Waits(_, Some(_))), "{name} {arrival:?}");
    }
    assert_eq!(room.arrive(&client(7), Urgency::Control), Arrival::TurnedAway);
    assert_eq!((room.waiting_of(Urgency::Control), room.waiting_of(Urgency::Bulk)), (6, 2));
    let (mut room, _running) = busy(8);
    (0..8).for_each(|name| assert!(waits(&mut room, name, Urgency::Control) > Ticket(0)));
    for name in 0..2 {
        assert!(matches!(room.arrive(&client(name), Urgency::Bulk), Arrival::Waits(_, Some(_))));
    }
    assert_eq!(room.arrive(&client(7), Urgency::Bulk), Arrival::TurnedAway);
}

#[test]
fn a_change_of_the_numbers_turns_nobody_away_and_lets_more_begin() {
    let (mut room, _running) = busy(3);
    let waiting: Vec<_> = (0..3).map(|name| waits(&mut room, name, Urgency::Bulk)).collect();
    room.set(Settings { setups: 3, waiting: 1, ..FEW });
    assert_eq!(room.begin_next(), Some(waiting[0]));
    assert_eq!((room.begin_next(), room.begin_next()), (Some(waiting[1]), None));
    assert_eq!(room.waiting(), 1);
    assert_eq!(room.arrive(&client(5), Urgency::Bulk), Arrival::TurnedAway);
}

#[test]
fn those_turned_away_are_told_to_come_back_between_one_wait_and_three() {
    let told: BTreeSet<Duration> = (0..5000).map(|random| FEW.retry_after(random)).collect();
    assert!(told.len() > 500, "{} different times", told.len());
    assert!(told.iter().all(|time| (FEW.wait..FEW.wait * 3).contains(time)));
}

/// What a test knows of a room without looking into it.
#[derive(Default)]
struct Known {
    waiting: BTreeMap<Ticket, (Urgency, usize)>,
    running: BTreeMap<Ticket, (Urgency, usize)>,
    passed_over: u32,
}

impl Known {
    fn arrives(&mut self, arrival: Arrival, of: (Urgency, usize)) {
        match arrival {
            Arrival::Begins(ticket) => assert!(self.running.insert(ticket, of).is_none()),
            Arrival::Waits(ticket, given) => {
                assert!(given.is_none_or(|given| self.waiting.remove(&given).is_some()));
                assert!(self.waiting.insert(ticket, of).is_none());
            }
            Arrival::TurnedAway => {}
        }
    }

    /// Ends the oldest set-up, and has everybody begin who may.
    fn ends(&mut self, room: &mut Room) {
        if let Some((ticket, _)) = self.running.pop_first() {
            room.end(ticket);
        }
        while let Some(ticket) = room.begin_next() {
            let (urgency, name) = self.waiting.remove(&ticket).expect("one that waits, once");
            let passes = urgency == Urgency::Control && self.could_begin(room, Urgency::Bulk);
            self.passed_over = if passes { self.passed_over + 1 } else { 0 };
            assert!(self.passed_over <= CONTROL_TO_BULK);
            self.running.insert(ticket, (urgency, name));
        }
    }

    fn running_of(&self, matches: impl Fn(&(Urgency, usize)) -> bool) -> usize {
        self.running.values().filter(|of| matches(of)).count()
    }

    /// Says whether somebody of this urgency waits though the numbers would let him begin.
    fn could_begin(&self, room: &Room, urgency: Urgency) -> bool {
        let Settings { setups, setups_per_client, .. } = room.settings;
        let has_room = self.running.len() < setups as usize
            && self.running_of(|of| of.0 == urgency) < (setups - setups / 4) as usize;
        let mut waiting = self.waiting.values().filter(|of| of.0 == urgency);
        has_room && waiting.any(|of| self.running_of(|other| other.1 == of.1) < setups_per_client as usize)
    }

    fn assert_fits(&self, room: &Room) {
        let Settings { setups, setups_per_client, waiting, .. } = room.settings;
        assert_eq!((room.in_progress(), room.waiting()), (self.running.len(), self.waiting.len()));
        assert!(self.running.len() <= setups as usize && self.waiting.len() <= waiting as usize);
        for name in 0..6 {
            assert!(self.running_of(|of| of.1 == name) <= setups_per_client as usize);
        }
        for urgency in Urgency::ALL {
            assert_eq!(room.waiting_of(urgency), self.waiting.values().filter(|of| of.0 == urgency).count());
            assert!(!self.could_begin(room, urgency), "{urgency:?} waits for nothing");
        }
    }
}

proptest! {
    /// Whatever comes, goes and ends: the numbers hold, nobody is called twice or after it left, nobody
    /// waits who could begin, and bulk is never passed over more than three times in a row.
    #[test]
    fn whatever_happens_the_numbers_hold_and_nobody_is_forgotten(
        steps in vec((0..5_u8, 0..6_usize, any::<bool>()), 0..400),
        setups in 1..10_u32,
        setups_per_client in 1..4_u32,
        waiting in 1..9_u32,
    ) {
        let mut room = Room::new(Settings { setups, setups_per_client, waiting, ..FEW });
        let mut known = Known::default();
        for (step, name, control) in steps {
            let urgency = if control { Urgency::Control } else { Urgency::Bulk };
            match step {
                0..=2 => known.arrives(room.arrive(&client(name), urgency), (urgency, name)),
                3 => {
                    let gone = known.waiting.pop_first();
                    prop_assert!(gone.is_none_or(|(ticket, _)| room.leave(ticket)));
                }
                _ => known.ends(&mut room),
            }
            known.assert_fits(&room);
        }
        while room.in_progress() > 0 {
            known.ends(&mut room);
        }
        known.assert_fits(&room);
        prop_assert_eq!(room.waiting(), 0);
        prop_assert!(room.by_client.is_empty() && room.control.clients.is_empty() && room.bulk.turns.is_empty());
        prop_assert!(room.bulk.sizes.is_empty() && room.running.is_empty() && room.bulk.in_progress == 0);
    }

    /// With any crowd that waits, every client has its first turn before any has its second.
    #[test]
    fn nobody_has_a_second_turn_before_everybody_had_the_first(names in vec(0..12_usize, 1..200)) {
        let (mut room, mut running) = busy(1000);
        let wait = |name: &usize| (waits(&mut room, *name, Urgency::Bulk), *name);
        let held: BTreeMap<Ticket, usize> = names.iter().map(wait).collect();
        let clients = names.iter().collect::<BTreeSet<_>>().len();
        let mut first = BTreeSet::new();
        for _ in 0..clients {
            room.end(running);
            running = room.begin_next().expect("somebody waits");
            first.insert(held[&running]);
        }
        prop_assert_eq!(first.len(), clients);
    }
}
