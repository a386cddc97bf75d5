//! Pipes of the kernel, and a pool whose numbers are asked.

use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;

use super::*;
use crate::observe::metrics::Metrics;

const SMALL: Budget = Budget { size: LEAST_PIPE, most: 3, stay: 1 };

#[test]
fn the_pool_takes_a_quarter_of_what_the_kernel_allows_and_leaves_a_pipe_for_each_worker() {
    let mebibyte = 1024 * 1024;
    let cases = [
        // The usual limits: 64 MiB for the user.
        ((16_384, mebibyte), 2, (mebibyte, 16, 14)),
        ((16_384, mebibyte), 8, (mebibyte, 16, 8)),
        ((16_384, mebibyte), 16, (mebibyte / 2, 32, 16)),
        ((16_384, mebibyte), 128, (mebibyte / 2, 32, 0)),
        // A lower size, a higher one, none that is useful.
        ((16_384, 256 * 1024), 2, (256 * 1024, 32, 30)),
        ((16_384, 16 * mebibyte), 2, (mebibyte, 16, 14)),
        ((16_384, 4096), 2, (64 * 1024, 32, 30)),
        // Few pages, no pages, and no bound.
        ((1024, mebibyte), 2, (256 * 1024, 4, 2)),
        ((64, mebibyte), 2, (64 * 1024, 1, 0)),
        ((1, mebibyte), 2, (64 * 1024, 0, 0)),
        ((0, mebibyte), 2, (mebibyte, 32, 30)),
    ];
    for ((user_pages, largest), workers, (size, most, stay)) in cases {
        let limits = KernelLimits { user_pages, largest };
        let found = Budget::new(limits, workers);
        assert_eq!(found, Budget { size, most, stay }, "{limits:?}, {workers} workers");
        assert!(user_pages == 0 || most * size <= user_pages * PAGE / PART, "{limits:?}");
    }
}

#[test]
fn the_limits_are_read_from_the_kernel() {
    let limits = KernelLimits::read();
    assert!(limits.largest >= PAGE, "{limits:?}");
}

#[test]
fn there_are_no_more_pipes_than_the_budget_and_an_empty_one_is_lent_again() {
    let pipes = pool(SMALL);
    let mut lent: Vec<Loan> = (0..3).map(|_| pipes.lend().unwrap()).collect();
    assert_eq!(lent.iter().map(Loan::may_stay).collect::<Vec<_>>(), [true, false, false]);
    assert!(pipes.lend().is_none());
    assert!(lent.iter().all(|loan| loan.size() >= LEAST_PIPE));
    lent.pop();
    assert_eq!(numbers(&pipes), (3, 1, 1));
    assert!(!pipes.lend().unwrap().may_stay());
    drop(lent);
    assert_eq!(numbers(&pipes), (3, 3, 0));
    assert!(pipes.lend().unwrap().may_stay());
    assert!(pool(Budget { most: 0, ..SMALL }).lend().is_none());
}

#[test]
fn a_pipe_that_still_holds_bytes_is_closed_and_never_lent_again() {
    let pipes = pool(SMALL);
    let (mut far, near) = sockets();
    far.write_all(b"secret").unwrap();
    let mut loan = pipes.lend().unwrap();
    assert_eq!(fill(&mut loan, &near, 100), 6);
    drop(loan);
    assert_eq!(numbers(&pipes), (0, 0, 0));
    // All of what was inside is moved on: now it is empty.
    far.write_all(b"public").unwrap();
    let mut loan = pipes.lend().unwrap();
    assert_eq!(fill(&mut loan, &near, 100), 6);
    assert_eq!(loan.drain(&near).unwrap(), 6);
    assert_eq!(loan.inside(), 0);
    drop(loan);
    let mut found = [0; 6];
    far.read_exact(&mut found).unwrap();
    assert_eq!((&found, numbers(&pipes)), (b"public", (1, 1, 0)));
}

#[test]
fn what_is_taken_out_is_all_that_was_inside_and_the_pipe_is_lent_again() {
    let pipes = pool(SMALL);
    let (mut far, near) = sockets();
    far.write_all(b"0123456789").unwrap();
    let mut loan = pipes.lend().unwrap();
    assert_eq!(fill(&mut loan, &near, 4), 4);
    assert_eq!((loan.take_out().unwrap().as_slice(), loan.inside()), (&b"0123"[..], 0));
    assert_eq!(fill(&mut loan, &near, 100), 6);
    assert_eq!(loan.take_out().unwrap(), b"456789");
    drop(loan);
    assert_eq!(numbers(&pipes), (1, 1, 0));
}

#[test]
fn nothing_there_and_the_end_of_the_stream_are_told_apart() {
    let pipes = pool(SMALL);
    let (far, near) = sockets();
    let mut loan = pipes.lend().unwrap();
    assert_eq!(loan.fill(&near, 10).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(far);
    assert_eq!(fill(&mut loan, &near, 10), 0);
    drop(loan);
    assert_eq!(numbers(&pipes), (1, 1, 0));
}

#[test]
fn a_pipe_that_saw_an_error_is_not_lent_again() {
    let pipes = pool(SMALL);
    let mut loan = pipes.lend().unwrap();
    let file = tempfile::tempfile().unwrap();
    // A listener neither gives nor takes bytes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(loan.fill(&listener, 10).is_err());
    assert!(loan.fill(&file, 10).is_err(), "there is no pipe any more");
    drop(loan);
    assert_eq!(numbers(&pipes), (0, 0, 0));
}

/// Open, empty in the pool, and lent with leave to stay.
fn numbers(pipes: &Pipes) -> (usize, usize, usize) {
    let inner = pipes.lock();
    assert_eq!(
        pipes.metrics.in_use(),
        (inner.open - inner.empty.len()) as i64,
        "the gauge says how many are lent"
    );
    (inner.open, inner.empty.len(), inner.staying)
}

fn pool(budget: Budget) -> Arc<Pipes> {
    Pipes::new(budget, Metrics::new().unwrap().pipes)
}

/// Fills once there is something.
fn fill(loan: &mut Loan, from: &TcpStream, most: usize) -> usize {
    loop {
        match loan.fill(from, most) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
            filled => return filled.unwrap(),
        }
    }
}

/// The far end blocks, the near one does not.
fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let near = listener.accept().unwrap().0;
    near.set_nonblocking(true).unwrap();
    (far, near)
}
