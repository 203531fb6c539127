//! Does one operation so many times, and nothing else: `operations NAME COUNT`. Without
//! arguments it prints a name in each line, and after a tab what is done.
//!
//! `cargo xtask bench instructions --callgrind` counts the instructions of it.

use std::env::args;
use std::process::ExitCode;

use kya_core::testing::operations::OPERATIONS;

/// Whatever the count is, as much is prepared.
const MOST: usize = 256;

fn main() -> ExitCode {
    let Some(name) = args().nth(1) else {
        OPERATIONS.iter().for_each(|it| println!("{}\t{}", it.name, it.what));
        return ExitCode::SUCCESS;
    };
    let count = args().nth(2).and_then(|count| count.parse().ok()).filter(|it| *it <= MOST);
    let operation = OPERATIONS.iter().find(|it| it.name == name);
    let (Some(operation), Some(count)) = (operation, count) else {
        eprintln!("usage: operations [NAME COUNT], with a count of {MOST} at most");
        return ExitCode::FAILURE;
    };
    let mut run = operation.prepare(MOST);
    (0..count).for_each(|_| run());
    ExitCode::SUCCESS
}
