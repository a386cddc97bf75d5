//! No record is lost without being counted, and no record waits for another thread.

use std::sync::mpsc;

use super::*;

/// Tells what is written, and goes on when it is let.
struct Gate {
    told: mpsc::Sender<Vec<u8>>,
    go: mpsc::Receiver<io::Result<usize>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.told.send(bytes.to_vec()).expect("the test listens");
        // Once the test has said all, everything is written.
        self.go.recv().unwrap_or(Ok(bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Ends = (Queue, Writing, mpsc::Receiver<Vec<u8>>, mpsc::Sender<io::Result<usize>>);

fn start(unit: Unit) -> Ends {
    let ((told, written), (let_go, go)) = (mpsc::channel(), mpsc::channel());
    let (queue, writing) = Queue::start(Gate { told, go }, unit).expect("a thread");
    (queue, writing, written, let_go)
}

#[test]
fn what_gathers_while_the_writer_is_busy_is_written_at_once_and_in_order() {
    let (queue, writing, written, go) = start(Unit::Lines);
    queue.push(b"a\n");
    assert_eq!(written.recv().expect("the first"), b"a\n");
    for line in [b"b\n", b"c\n", b"d\n"] {
        queue.push(line);
    }
    go.send(Ok(2)).expect("the writer waits");
    assert_eq!(written.recv().expect("the rest"), b"b\nc\nd\n");
    drop(go);
    drop(writing);
    assert_eq!(queue.dropped(), 0);
}

#[test]
fn no_line_is_cut_by_a_write_and_no_write_is_longer_than_a_pipe_takes_unless_its_line_is() {
    let (queue, writing, written, go) = start(Unit::Lines);
    queue.push(b"first\n");
    written.recv().expect("the writer is busy");
    let line = |length: usize| [vec![b'x'; length - 1], vec![b'\n']].concat();
    let lengths = [2000, 2096, 1, 5000, 4000, 96, 10];
    lengths.iter().for_each(|length| queue.push(&line(*length)));
    drop(go);
    drop(writing);
    drop(queue);
    let writes: Vec<usize> = written.iter().map(|bytes| bytes.len()).collect();
    assert_eq!(writes, [4096, 1, 5000, 4096, 10]);
}

#[test]
fn each_record_is_a_write_of_its_own_where_records_are_datagrams() {
    let (queue, writing, written, go) = start(Unit::Record);
    drop(go);
    for record in [&b"one"[..], b"two", b"three"] {
        queue.push(record);
    }
    drop(writing);
    assert_eq!(written.iter().take(3).collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);
}

#[test]
fn a_writer_that_hangs_stops_nobody_and_what_has_no_room_is_counted() {
    let (queue, writing, written, go) = start(Unit::Lines);
    queue.push(b"first\n");
    written.recv().expect("the writer hangs in its first write");
    for _ in 0..LONGEST_QUEUE + 5 {
        queue.push(b"x\n");
    }
    assert_eq!(queue.dropped(), 5);
    drop(go);
    drop(writing);
    drop(queue);
    assert_eq!(written.iter().map(|bytes| bytes.len()).sum::<usize>(), 2 * LONGEST_QUEUE);
}

#[test]
fn the_bytes_that_wait_are_bounded_too() {
    let (queue, _writing, written, go) = start(Unit::Lines);
    queue.push(b"first\n");
    written.recv().expect("the writer hangs in its first write");
    let large = vec![b'x'; MOST_WAITING / 4];
    for _ in 0..6 {
        queue.push(&large);
    }
    assert_eq!(queue.dropped(), 2);
    queue.push(b"");
    assert_eq!(queue.dropped(), 2, "what fits has its place");
    drop(go);
}

#[test]
fn records_that_cannot_be_written_are_counted_and_cut_ones_with_them() {
    let (queue, writing, written, go) = start(Unit::Lines);
    queue.push(b"aa\n");
    written.recv().expect("a write");
    for line in [b"bb\n", b"cc\n", b"dd\n"] {
        queue.push(line);
    }
    go.send(Ok(3)).expect("the writer waits");
    written.recv().expect("a write");
    go.send(Ok(4)).expect("the writer waits");
    assert_eq!(written.recv().expect("a write"), b"c\ndd\n");
    go.send(Err(io::ErrorKind::BrokenPipe.into())).expect("the writer waits");
    drop(go);
    drop(writing);
    assert_eq!(queue.dropped(), 2);
}

#[test]
fn what_waits_is_written_before_the_end() {
    for _ in 0..50 {
        let (queue, writing, written, go) = start(Unit::Lines);
        drop(go);
        queue.push(b"first\n");
        queue.push(b"last\n");
        drop(writing);
        drop(queue);
        assert_eq!(written.iter().flatten().collect::<Vec<_>>(), b"first\nlast\n");
    }
}
