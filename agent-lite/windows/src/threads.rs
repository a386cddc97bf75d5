//! How much of the processor a thread wants.

use std::io;

use windows_sys::Win32::System::Threading::GetCurrentThread;
use windows_sys::Win32::System::Threading::SetThreadPriority;
use windows_sys::Win32::System::Threading::THREAD_PRIORITY;
use windows_sys::Win32::System::Threading::THREAD_PRIORITY_BELOW_NORMAL;
use windows_sys::Win32::System::Threading::THREAD_PRIORITY_IDLE;

use crate::wide::checked;

/// Has this thread run only where no thread of a normal priority wants the processor.
pub fn run_when_idle() -> io::Result<()> {
    run_with(THREAD_PRIORITY_IDLE)
}

/// Has this thread run a little behind those of a normal priority.
pub fn run_nicely() -> io::Result<()> {
    run_with(THREAD_PRIORITY_BELOW_NORMAL)
}

fn run_with(priority: THREAD_PRIORITY) -> io::Result<()> {
    // SAFETY: it returns a constant.
    let thread = unsafe { GetCurrentThread() };
    // SAFETY: the pseudo handle of the own thread is always good.
    checked(unsafe { SetThreadPriority(thread, priority) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_may_give_way_to_others() {
        std::thread::spawn(|| {
            run_nicely().unwrap();
            run_when_idle().unwrap();
        })
        .join()
        .unwrap();
    }
}
