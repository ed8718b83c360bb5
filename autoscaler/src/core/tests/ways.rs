//! Through whom traffic can be led, and who is told that none is any more.

use std::net::IpAddr;

use dormouse_link::frame::{Listening, Standing};

use super::*;
use crate::cluster::Topic;

fn at(number: u8) -> IpAddr {
    [10, 0, 0, number].into()
}

fn announce(world: &mut World, connection: Connection, number: u8, standing: Standing) {
    let listener = Listening {
        endpoint: "default/hello:8080".into(),
        address: Some("[::]:12345".parse().unwrap()),
        error: None,
    };
    let reached_at = vec![at(number)];
    world.hear(connection, Up::Listening { listeners: vec![listener], reached_at, standing });
}

fn named(world: &mut World, number: u64, addresses: &[u8]) {
    let addresses = addresses.iter().map(|number| at(*number)).collect();
    world.apply(Event::Fact(Fact::Named { number, addresses }));
}

fn unnamed(world: &World) -> Vec<Connection> {
    let sent = world.sent.iter().filter(|(_, frame)| *frame == Down::Unnamed);
    sent.map(|(connection, _)| *connection).collect()
}

#[test]
fn those_that_announced_themselves_on_their_connection_can_be_led_through() {
    let mut world = World::with(function("hello", &[]), 0);
    assert!(world.led.each.is_empty());
    let connection = world.connect("b");
    announce(&mut world, connection, 2, Standing::Stays);
    let [only] = &world.led.each[..] else { panic!("{:?}", world.led) };
    assert_eq!((only.name.as_str(), &only.addresses[..]), ("b", &[at(2)][..]));
    assert_eq!(only.listening["default/hello:8080"], 12_345);
    let number = world.led.number;
    announce(&mut world, connection, 2, Standing::Stays);
    assert_eq!(world.led.number, number, "no news");
    world.load("hello", 3, 2);
    world.report();
    assert_eq!(world.led.held[&name("hello")], 4, "of both");
    world.cut(connection);
    assert!(world.led.each.is_empty());
    let connection = world.connect("b");
    assert!(world.led.each.is_empty(), "where it listens now it has not said");
    announce(&mut world, connection, 2, Standing::Stays);
    assert_eq!(world.led.each.len(), 1);
}

#[test]
fn without_activators_nothing_is_known_and_nothing_is_taken_away() {
    let mut world = World::new();
    world.add(function("hello", &[]), 2);
    world.run(200);
    assert_eq!(world.ordered(), [0; 0]);
    world.connect("a");
    world.run(30);
    assert_eq!(world.ordered().last(), Some(&0), "as soon as somebody can tell");
}

#[test]
fn one_that_cannot_listen_is_said_at_the_function_until_it_can() {
    let mut world = World::with(function("hello", &[]), 0);
    let (fine, deaf) = (world.connect("b"), world.connect("c"));
    announce(&mut world, fine, 1, Standing::Stays);
    let refused = Listening {
        endpoint: "default/hello:8080".into(),
        address: None,
        error: Some("the port is taken".to_owned()),
    };
    let (reached_at, standing) = (vec![at(2)], Standing::Stays);
    world.hear(deaf, Up::Listening { listeners: vec![refused], reached_at, standing });
    let [note] = &world.notes[..] else { panic!("{:?}", world.notes) };
    let text = note.text.as_deref().unwrap();
    assert_eq!(note.topic, Topic::CannotListen);
    assert!(text.contains("default/hello:8080") && text.contains("the port is taken"), "{text}");
    let endpoint = world.status("hello").endpoints.remove(0);
    assert!(endpoint.listening.is_some() && endpoint.error.is_some(), "of either");
    announce(&mut world, deaf, 2, Standing::Stays);
    assert_eq!(
        world.notes.last().map(|note| (note.topic, &note.text)),
        Some((Topic::CannotListen, &None))
    );
}

#[test]
fn one_that_leaves_is_told_once_when_nothing_leads_to_it_by_the_newest_word() {
    let mut world = World::new();
    let (staying, leaving) = (world.connect("a"), world.connect("b"));
    announce(&mut world, staying, 1, Standing::Stays);
    announce(&mut world, leaving, 2, Standing::Stays);
    let before = world.led.number;
    named(&mut world, before, &[1]);
    announce(&mut world, leaving, 2, Standing::Leaves);
    assert!(unnamed(&world).is_empty(), "since then it may have been named");
    let number = world.led.number;
    assert!(number > before);
    named(&mut world, number, &[1, 2]);
    assert!(unnamed(&world).is_empty());
    named(&mut world, number, &[1]);
    named(&mut world, number, &[]);
    assert_eq!(unnamed(&world), [leaving], "and not the one that stays");
}
